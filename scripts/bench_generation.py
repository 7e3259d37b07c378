"""How fast a model speaks: python scripts/bench_generation.py [MODEL_DIR]"""

import sys

from greylord.benchmarks.generation import main

if __name__ == "__main__":
    main(sys.argv[1:])
