"""Check that a model gives the same results with another transformers.

greylord need not be installed there. `make compat` compares with transformers 4.57.

    python tests/compat.py write MODEL FILE.npz      ids, logits and greedy text by this transformers
    python tests/compat.py compare MODEL FILE.npz    the same again, compared with the file

A MODEL is a folder or a repository of the Hub.
"""

import sys

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

TEXTS = ("<|pad|><|server|><|delay_short|>User-ID: ", bytes(range(256)).decode("latin-1"), "look\r\n\x1b[0;37m[HP=46]:")
TOLERANCE = 1e-4
"""Tolerance of a logit: float32 sums in another order."""


def answers(model_name: str) -> dict[str, np.ndarray]:
    """Return the results of the stock classes: ids and logits of each text.

    They include the continuation by `pipeline`.
    """
    tokenizer = AutoTokenizer.from_pretrained(model_name)
    model = AutoModelForCausalLM.from_pretrained(model_name, use_safetensors=True).eval()
    found = {}
    for number, text in enumerate(TEXTS):
        batch = tokenizer(text, return_tensors="pt")
        if tokenizer.decode(batch["input_ids"][0]) != text:
            sys.exit(f"{transformers.__version__}: the tokenizer does not give {text!r} back.")
        with torch.inference_mode():
            found[f"logits {number}"] = model(**batch).logits[0].numpy()
        found[f"ids {number}"] = batch["input_ids"][0].numpy()
    generate = pipeline("text-generation", model=model, tokenizer=tokenizer)
    # The pipeline of transformers 4 would remove the blank before a question mark.
    exact = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    (generated,) = generate(TEXTS[0], max_new_tokens=40, do_sample=False, **exact)
    found["generated text"] = np.frombuffer(generated["generated_text"].encode(), np.uint8)
    return found


def main(action: str, model_name: str, file: str) -> None:
    found = answers(model_name)
    if action == "write":
        np.savez(file, version=transformers.__version__, **found)
        return
    expected = np.load(file)
    for name, values in found.items():
        close = values.shape == expected[name].shape and np.allclose(values, expected[name], atol=TOLERANCE)
        if not close:
            sys.exit(f"transformers {transformers.__version__} and {expected['version']} differ in {name}.")
    print(f"transformers {transformers.__version__} and {expected['version']}: the same ids, logits and text")


if __name__ == "__main__":
    main(*sys.argv[1:])
