"""The vocabulary as a Hugging Face tokenizer of bytes and special tokens.

A byte is the character of the same number (latin-1), so `tokenizer(data.decode("latin-1"))` is exact. AutoTokenizer
loads a saved folder where greylord is not installed. `python -m greylord.stream.tokenizer DIR` writes one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models
from transformers import PreTrainedTokenizerFast

from greylord.files import write_file
from greylord.stream import vocabulary
from greylord.stream.limits import MAX_CONTEXT

__all__ = ["Tokenizer", "write_vocabulary"]


class Tokenizer(PreTrainedTokenizerFast):
    """A `PreTrainedTokenizerFast` of the 262 tokens.

    A saved folder loads in transformers 4.45 to 5.x. Tokenize payload with `split_special_tokens=True`: a player can
    type `<|server|>`.

    Args:
        model_max_length: Longest context of the model it belongs to, in tokens.
    """

    def __init__(self, model_max_length: int = MAX_CONTEXT) -> None:
        tokenizer = tokenizers.Tokenizer(models.BPE(vocab={chr(byte): byte for byte in range(256)}, merges=[]))
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens(
            [AddedToken(token, special=True, normalized=False) for token in vocabulary.SPECIAL_TOKENS]
        )
        pad, *others = vocabulary.SPECIAL_TOKENS
        super().__init__(
            tokenizer_object=tokenizer,
            model_max_length=model_max_length,
            bos_token=pad,
            eos_token=pad,
            pad_token=pad,
            additional_special_tokens=others,
            model_input_names=["input_ids", "attention_mask"],
            clean_up_tokenization_spaces=False,
        )

    def save_pretrained(self, save_directory: str | os.PathLike[Any], *args: Any, **kwargs: Any) -> tuple[str, ...]:
        """Write tokenizer.json and a tokenizer_config.json that transformers 4 reads too.

        The files of transformers 5 name a class and keys that transformers 4 refuses.

        Args:
            save_directory: The folder to write to. It is created if it does not exist.
            args: Ignored; the Trainer and other callers pass options of the parent class.
            kwargs: Ignored.
        """
        del args, kwargs
        folder = Path(save_directory)
        pad, *others = vocabulary.SPECIAL_TOKENS
        config = {
            "added_tokens_decoder": {
                str(vocabulary.PAD + index): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for index, token in enumerate(vocabulary.SPECIAL_TOKENS)
            },
            "additional_special_tokens": others,
            "bos_token": pad,
            "clean_up_tokenization_spaces": False,
            "eos_token": pad,
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": self.model_max_length,
            "pad_token": pad,
            "tokenizer_class": "PreTrainedTokenizerFast",
        }
        contents = {
            "tokenizer.json": self.backend_tokenizer.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
        }
        for name, text in contents.items():
            write_file(folder / name, text)
        return tuple(str(folder / name) for name in contents)


def write_vocabulary(folder: Path) -> None:
    """Write the two vocabulary files, for programs without transformers.

    They are vocab_to_int.json and int_to_vocab.json.
    """
    write_file(folder / "vocab_to_int.json", json.dumps(vocabulary.vocab_to_int(), indent=1) + "\n")
    write_file(folder / "int_to_vocab.json", json.dumps(vocabulary.int_to_vocab(), indent=1) + "\n")


if __name__ == "__main__":
    Tokenizer().save_pretrained(sys.argv[1])
    write_vocabulary(Path(sys.argv[1]))
