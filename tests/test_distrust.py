"""Files from others are not trusted.

A recording costs time and memory by its size, and a model runs no code.
"""

import io
import json
import pickle
import re
import time
import tracemalloc
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from greylord import hub, model_folders, modeling, runs
from greylord.captures import redaction
from greylord.captures.formats import proxylog
from greylord.diagnostics import vocabulary
from greylord.diagnostics.model import inspect
from greylord.errors import GreylordError, UsageError
from greylord.stream import turns
from greylord.stream.tokenizer import Tokenizer, write_vocabulary
from greylord.terminal.display import Display
from greylord.terminal.telnet import SUBNEGOTIATION_BYTES, Telnet

S, C = b"<|server|><|delay#0.1|>", b"<|client|><|delay#0.1|>"


def logins(size: int, secret: bytes) -> bytes:
    each = b"".join((S, b"Password: ", C, secret, b"\r", S, b"*" * len(secret % 0), b"\r\n"))
    return b"".join(each % number for number in range(size // len(each)))


CAPTURES = {
    "openings": lambda size: b"<|" * (size // 2),
    "an endless token": lambda size: S + b"<|ansi#" + b"1B" * (size // 2),
    "endless delays": lambda size: b"<|server|><|delay#" + b"9" * size,
    "markers": lambda size: b"<|server|>" * (size // 10),
    "empty records": lambda size: (S + C) * (size // 46),
    "NUL": lambda size: S + bytes(size),
    "MCCP": lambda size: S + b"\xff\xfa\x56\xff\xf0" + bytes(range(256)) * (size // 256),
    "subnegotiations": lambda size: S + b"\xff\xfa" * (size // 2),
    "control sequences": lambda size: S + b"\x1b[" * (size // 2),
    "prompts": lambda size: S + b"Password: " * (size // 10) + C + b"x\r",
    "logins, each another word": lambda size: logins(size, b"%06d"),
    "logins, each another secret": lambda size: logins(size, b"x%06d"),
    "asterisks": lambda size: C + b"x\r" + S + b"*\r" * (size // 2),
    "ECHO": lambda size: S + b"\xff\xfb\x01\xff\xfc\x01" * (size // 6) + C + b"x\r",
    "backspaces": lambda size: S + b"Password: " + C + b"x" * (size // 2) + b"\b" * (size // 2) + b"\r" + S + b"\r\n",
    "Enter": lambda size: S + b"Password: " + C + b"\r" * size,
}
SIZE = 30_000


def read(log: bytes) -> None:
    """Do what a build does with a recording."""
    session = proxylog.read(io.BytesIO(log))
    masked = redaction.mask(session, redaction.find(session))
    assert len(turns.encode(masked)) > len(session.payload)


def cost(log: bytes) -> tuple[float, int]:
    """Measure the processor seconds and the peak memory in bytes.

    The seconds are the lower of two runs.
    """
    tracemalloc.start()
    read(log)
    _, memory = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    seconds = []
    for _ in range(2):
        # The cache holds the patterns of a short recording but not those of a long one.
        re.purge()
        began = time.process_time()
        read(log)
        seconds.append(time.process_time() - began)
    return min(seconds), memory


@pytest.mark.parametrize("name", CAPTURES)
def test_time_and_memory_of_a_hostile_recording_are_linear_in_its_size(name):
    small, large = (cost(CAPTURES[name](size)) for size in (SIZE, 8 * SIZE))
    # Quadratic time would be 64 times as much. Below 20 ms a time is mostly noise.
    assert large[0] < 24 * max(small[0], 0.02)
    assert large[1] < 12 * max(small[1], 10**6)


ATTACKS = (
    b"\x1b]52;c;cm0gLXJmIH4=\x07", b"\x1b]0;title\x1b\\", b"\x1b[21t", b"\x1b[6n", b"\x1b[c", b"\x1bP$q\x1b\\",
    b"\x1bc", b"\x9b21t", b"\x05", b"\x07", b"\x1b[?1049h", b"\x1b[5i",
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_the_viewer_do_not_reach_the_terminal(attack):
    for cut in range(len(attack) + 1):
        display = Display()
        shown = "".join(display.feed(part) for part in (b"\x1b[1;31mHail", attack[:cut], attack[cut:], b"\x1b[0m!"))
        assert re.sub(r"\x1b\[[0-9;]*[A-HJKfmsu]", "", shown).isprintable(), shown


def test_an_endless_subnegotiation_ends_at_its_limit():
    assert Telnet().feed(b"\xff\xfa" + b"x" * (SUBNEGOTIATION_BYTES + 10)).endswith(b"x" * 10)


class Payload:
    """A pickle that creates a file when it is loaded."""

    def __reduce__(self):
        return Path.touch, (Path("taken"),)


@pytest.fixture
def folder(workplace) -> Path:
    """The folder of a valid model, to be made hostile."""
    torch.manual_seed(0)
    made = Path("models/evil")
    modeling.new_model(16).save_pretrained(made)
    Tokenizer(16).save_pretrained(made)
    write_vocabulary(made)
    return made


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_pickled_weights_are_not_opened(folder):
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "training_args.bin", "model.pt"):
        (folder / name).write_bytes(pickle.dumps(Payload()))
    for use in (modeling.load_model, inspect, hub.published_files):
        with pytest.raises(UsageError, match=r"no model\.safetensors"):
            use(folder)
    assert not Path("taken").exists()


def test_code_of_a_model_is_not_run(folder):
    (folder / "modeling.py").write_text("from pathlib import Path\nPath('taken').touch()\n")
    change(folder / "config.json", auto_map={"AutoConfig": "modeling.Config", "AutoModelForCausalLM": "modeling.Model"})
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling.Tokenizer", None]})
    assert type(modeling.load_model(folder)) is GPT2LMHeadModel
    inspect(folder)
    vocabulary.inspect(folder)
    assert not Path("taken").exists()


def test_weights_outside_the_folder_are_not_loaded(folder, workplace):
    (folder / "model.safetensors").rename("elsewhere.safetensors")
    index = {"metadata": {}, "weight_map": {"transformer.wte.weight": "../../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(GreylordError, match=r"no model\.safetensors"):
        modeling.load_model(folder)
    for name in ("user/..", "../user", "user/.git", "user/a/../b", "user/a\\b", "user/a\0b", "/user/a"):
        with pytest.raises(GreylordError, match="cannot be the name of a repository"):
            hub.pull(name)
    for name in ("../user", "/user/a", "user/a/b", "models/a"):
        assert model_folders.repository_of(Path(name)) is None


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab_to_int.json", "config.json", runs.CONFIG_NAME])
def test_a_file_of_a_gigabyte_is_not_read(folder, name):
    with (folder / name).open("ab") as file:
        file.truncate(10**9)
    tracemalloc.start()
    if name == "config.json":
        with pytest.raises(UsageError, match=r"no config\.json"):
            modeling.load_model(folder)
    else:
        modeling.load_model(folder)
        runs.read_json(folder / runs.CONFIG_NAME)
    if name in vocabulary.FILES:
        assert f"{name} has 1.0 GB, which no vocabulary needs." in vocabulary.inspect(folder).problems
    _, memory = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert memory < 10**8


def test_fields_of_a_model_are_printed_without_control_characters(folder, called):
    config = {"dataset": "\x1b]52;c;eA==\x07 \x9b21t \x7f é", "plan": {}, "data_hash": "0"}
    summary = {
        "dataset": config["dataset"], "data_hash": "0", "scored_bytes": 1, "protocol": "\x1b[21t", "parameters": 1,
        "best_bits_per_byte": 1.0, "steps": 1, "seconds": 1.0,
    }  # fmt: skip
    for ascii_only in (True, False):
        for name, content in ((runs.CONFIG_NAME, config), (runs.SUMMARY, summary)):
            (folder / name).write_text(json.dumps(content, ensure_ascii=ascii_only))
        for arguments in (["models"], ["models", "--json"]):
            shown = called(*arguments).stdout
            assert "52;c;eA==" in shown and shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("value", [[], [1], {}, {"a": [1]}, [[]]])
def test_a_generation_config_of_another_shape_is_one_sentence(folder, value):
    (folder / "generation_config.json").write_text(json.dumps({"pad_token_id": value}))
    with pytest.raises(UsageError, match=r"cannot be loaded: .*[^.]\.$"):
        modeling.load_model(folder)
