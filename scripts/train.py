"""`greylord train` for launchers.

Usage: accelerate launch scripts/train.py --dataset majormud
"""

import sys

from greylord.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
