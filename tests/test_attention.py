"""Attention in blocks equals attention by query and the fused kernel."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from greylord import modeling
from greylord.training import hardware
from greylord.training.config import ATTENTIONS
from greylord.training.hardware import Device, blockwise, choose_attention, keys_of_blocks

LAYER = torch.nn.Module()


def random_inputs(windows: int, heads: int, tokens: int, size: int) -> list[torch.Tensor]:
    torch.manual_seed(tokens)
    return [torch.randn(windows, heads, tokens, size, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def slow(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention query by query: each attends to its own position and those before."""
    rows = []
    for place in range(query.shape[2]):
        scores = scale * torch.einsum("whs,whks->whk", query[:, :, place], key[:, :, : place + 1])
        rows.append(torch.einsum("whk,whks->whs", scores.softmax(-1), value[:, :, : place + 1]))
    return torch.stack(rows, 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 300), st.integers(1, 5), st.sampled_from([None, 0.7]))
def test_blocks_give_attention_and_its_gradients(windows, heads, tokens, size, scaling):
    query, key, value = random_inputs(windows, heads, tokens, size)
    output, weights = blockwise(LAYER, query, key, value, None, scaling=scaling)
    expected = slow(query, key, value, size**-0.5 if scaling is None else scaling)
    assert weights is None
    torch.testing.assert_close(output, expected)
    direction = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad(output, (query, key, value), direction),
        torch.autograd.grad(expected, (query, key, value), direction),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_other_inputs_go_to_the_fused_kernel(monkeypatch):
    monkeypatch.setattr(hardware, "MAX_TOKENS", 20)
    query, key, value = random_inputs(2, 2, 21, 4)
    with monkeypatch.context() as patch:
        # The first call of the blocks would fail.
        patch.setattr(torch, "baddbmm", None)
        torch.testing.assert_close(blockwise(LAYER, query, key, value, None)[0], slow(query, key, value, 0.5))
        mask = torch.rand(2, 1, 9, 9) < 0.7
        mask[..., 0] = True
        short = [part[:, :, :9] for part in (query, key, value)]
        output, _ = blockwise(LAYER, *short, mask)
        torch.testing.assert_close(output, sdpa_attention_forward(LAYER, *short, mask)[0])
        cached, _ = blockwise(LAYER, query[:, :, 8:9], *short[1:], None)
        torch.testing.assert_close(cached[:, 0], slow(*short, 0.5)[:, 8])
        torch.manual_seed(0)
        dropped, _ = blockwise(LAYER, *short, None, dropout=0.5)
        assert not torch.allclose(dropped, slow(*short, 0.5))


@given(st.integers(1, 1_024))
def test_the_attention_weights_of_blocks_are_counted(tokens):
    ends = [min((place // 128 + 1) * 128, tokens) for place in range(tokens)]
    assert keys_of_blocks(tokens) == sum(ends)
    assert keys_of_blocks(tokens + 1_024) is None


def test_a_model_computes_the_same_in_blocks_and_is_saved_without_their_name(tmp_path):
    torch.manual_seed(0)
    ids = torch.randint(0, 256, (2, 200))
    losses, gradients = [], []
    for kernel in ATTENTIONS:
        torch.manual_seed(0)
        # In float64: at a ReLU's kink the rounding of float32 decides a gradient.
        model = modeling.new_model(256).double()
        model.set_attn_implementation(kernel)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert float((gradients[0] - gradients[1]).norm()) < 1e-10 * float(gradients[0].norm())
    model.save_pretrained(tmp_path)
    assert "blockwise" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"


def test_blocks_are_chosen_where_they_are_faster():
    cpu, float32, card = Device("cpu", True, "here"), Device("cpu", False, "here"), Device("cuda", True, "there")
    assert choose_attention(None, cpu)[0] == "blockwise"
    assert choose_attention(None, float32)[0] == choose_attention(None, card)[0] == "sdpa"
    for name in ATTENTIONS:
        assert choose_attention(name, card)[0] == name
        assert choose_attention(name, cpu)[1].endswith("(as set)")
