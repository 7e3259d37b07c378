"""The tokenizer folder, the vocabulary files and the numpy encoder agree."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from greylord.stream import turns, vocabulary
from greylord.stream.tokenizer import GreylordTokenizer, write_vocabulary

FOLDER = Path(__file__).parent.parent / "tokenizer"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


def test_the_committed_folder_is_what_the_code_writes(tmp_path):
    GreylordTokenizer().save_pretrained(tmp_path)
    write_vocabulary(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in FOLDER.iterdir()}


def test_the_vocabulary_files():
    names = json.loads((FOLDER / "int_to_vocab.json").read_text())
    assert [names[str(index)] for index in range(262)] == [f"byte_{n}" for n in range(256)] + [
        "<|pad|>", "<|client|>", "<|server|>", "<|delay_short|>", "<|delay_medium|>", "<|delay_long|>",
    ]  # fmt: skip
    ids = json.loads((FOLDER / "vocab_to_int.json").read_text())
    assert {name: int(index) for index, name in names.items()} == ids


def test_length_special_ids_and_input_names(tokenizer):
    assert len(tokenizer) == vocabulary.VOCAB_SIZE
    assert tokenizer.pad_token_id == tokenizer.bos_token_id == tokenizer.eos_token_id == vocabulary.PAD
    assert tokenizer.convert_tokens_to_ids(list(vocabulary.SPECIAL_TOKENS)) == list(range(256, 262))
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from(vocabulary.SPECIAL_TOKENS)).map(lambda t: "".join(t).encode()),
    )
)
def test_payload_is_exact(tokenizer, payload):
    ids = tokenizer(payload.decode("latin-1"), split_special_tokens=True)["input_ids"]
    assert ids == list(payload)
    assert tokenizer.decode(ids).encode("latin-1") == payload


plain = st.binary(max_size=30).filter(lambda payload: b"<" not in payload)


@given(st.lists(st.tuples(st.sampled_from([257, 258]), st.sampled_from([259, 260, 261]), plain), max_size=8))
def test_marked_up_text_has_the_ids_of_the_numpy_encoder(tokenizer, rows):
    names = vocabulary.int_to_vocab()
    text = "<|pad|>" + "".join(
        names[direction] + names[delay] + payload.decode("latin-1") for direction, delay, payload in rows
    )
    stream = turns.Turns(
        payload=np.frombuffer(b"".join(payload for _, _, payload in rows), np.uint8),
        ends=np.cumsum([len(payload) for _, _, payload in rows], dtype=np.int64),
        directions=np.array([direction for direction, _, _ in rows], np.uint16),
        delays=np.array([delay for _, delay, _ in rows], np.uint16),
    )
    ids = tokenizer(text)["input_ids"]
    assert ids == turns.encode_turns(stream).tolist()
    assert tokenizer.decode(ids) == text
