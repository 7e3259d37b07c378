"""The decode engine: stock logits, the grammar, and the same ids with drafts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessorList

from greylord import modeling
from greylord.errors import UsageError
from greylord.generation.engine import Decoder, Grammar, Sampling
from greylord.generation.forward import Forward
from greylord.generation.generate import generate
from greylord.stream import turns, vocabulary
from greylord.weights import ACTIVATIONS, GPT2Weights
from scripts.benchmarks import generation as benchmark

CONTEXT = 64
START = [vocabulary.PAD, vocabulary.SERVER, vocabulary.DELAY_SHORT]


@pytest.fixture(scope="module")
def model():
    """A model with a small context and definite predictions.

    Its weights and biases are large.
    """
    torch.manual_seed(5)
    model = modeling.new_model(CONTEXT).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def stock_logits(model, ids) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def some_ids(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, 256, count).tolist()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_forward_pass_gives_the_stock_model_s_logits(model, activation):
    other = GPT2LMHeadModel(GPT2Config.from_dict(model.config.to_dict() | {"activation_function": activation}))
    other.load_state_dict(model.state_dict())
    model = other.eval()
    forward, ids = Forward(GPT2Weights.of(model)), some_ids(CONTEXT)
    expected, begin = stock_logits(model, ids), 0
    for size in (20, 1, 7, 1, CONTEXT - 29):
        logits = forward(slice(0, 1), np.array([ids[begin : begin + size]]), np.array([begin]))
        np.testing.assert_allclose(logits[0], expected[begin : begin + size], rtol=0, atol=2e-5)
        begin += size


@given(st.lists(st.integers(1, CONTEXT), min_size=2, max_size=5), st.integers(0, 1 << 30))
def test_rows_of_different_length_do_not_disturb_each_other(model, lengths, seed):
    decoder = Decoder(GPT2Weights.of(model), Sampling(), slots=len(lengths) + 1)
    rows = [some_ids(length, seed + index) for index, length in enumerate(lengths)]
    for slot, ids in enumerate(rows):
        decoder.start(slot, ids)
    slots = range(0, len(rows), 2)
    for slot, logits in zip(slots, decoder.logits(slots), strict=True):
        np.testing.assert_allclose(logits, stock_logits(model, rows[slot])[-1], rtol=0, atol=2e-5)


def test_appended_ids_count_and_a_full_context_continues_from_its_last_half(model):
    decoder, ids = Decoder(GPT2Weights.of(model), Sampling()), some_ids(CONTEXT + 9)
    decoder.start(0, ids[:50])
    decoder.logits([0])
    decoder.append(0, ids[50:CONTEXT])
    np.testing.assert_allclose(decoder.logits([0])[0], stock_logits(model, ids[:CONTEXT])[-1], rtol=0, atol=2e-5)
    decoder.append(0, ids[CONTEXT:])
    kept = ids[-CONTEXT // 2 :]
    np.testing.assert_allclose(decoder.logits([0])[0], stock_logits(model, kept)[-1], rtol=0, atol=2e-5)


def sampled(model, sampling, count, slots=1, seed=0, **options) -> list[list[int]]:
    decoder = Decoder(GPT2Weights.of(model), sampling, slots, **options)
    for slot in range(slots):
        decoder.start(slot, START, seed + slot)
    streams = [[] for _ in range(slots)]
    while len(streams[0]) < count:
        for stream, ids in zip(streams, decoder.step(range(slots)), strict=True):
            stream += ids
    return [stream[:count] for stream in streams]


def slow(model, sampling, count, seed) -> list[int]:
    """Sample greedily or plainly with the stock model, a token at a time."""
    random, context, stream = np.random.default_rng(seed), list(START), []
    for _ in range(count):
        if len(context) > CONTEXT:
            context = context[-CONTEXT // 2 :]
        logits = np.where(turns.MAY_FOLLOW[context[-1]], stock_logits(model, context)[-1].astype(float), -np.inf)
        uniform = random.random()
        weights = np.exp((logits - logits.max()) / (sampling.temperature or 1))
        reached = np.cumsum(weights / weights.sum())
        token = int(np.argmax(reached > uniform)) if sampling.temperature else int(logits.argmax())
        context.append(token)
        stream.append(token)
    return stream


@pytest.mark.parametrize("temperature", [0.0, 0.05, 1.0])
def test_drafts_and_other_slots_do_not_change_the_ids(model, temperature):
    sampling, count = Sampling(temperature), 3 * CONTEXT
    expected = slow(model, sampling, count, 0)
    assert sampled(model, sampling, count) == [expected]
    assert sampled(model, sampling, count, draft_tokens=0) == [expected]
    assert sampled(model, sampling, count, slots=3)[0] == expected


def test_drafts_are_accepted():
    model = modeling.new_model(CONTEXT).eval()
    # Without positions an untrained model repeats itself.
    model.transformer.wpe.weight.data.zero_()
    decoder = Decoder(GPT2Weights.of(model), Sampling(0))
    decoder.start(0, START)
    steps = [decoder.step([0])[0] for _ in range(100)]
    assert sum(map(len, steps)) > 110


def test_a_memory_changes_the_drafts_and_nothing_else(model):
    count = 3 * CONTEXT
    (expected,) = sampled(model, Sampling(1.0), count)
    decoder = Decoder(GPT2Weights.of(model), Sampling(1.0), memory=[*START, *expected])
    decoder.start(0, START, 0)
    stream, steps = [], 0
    while len(stream) < count:
        stream += decoder.step([0])[0]
        steps += 1
    assert stream[:count] == expected
    # A stream that is in the memory is all drafts.
    assert steps < count / 5


def test_a_fork_continues_like_its_source(model):
    decoder = Decoder(GPT2Weights.of(model), Sampling(1.0), slots=3)
    decoder.start(2, [*START, *some_ids(20)], seed=3)
    for _ in range(5):
        decoder.step([2])
    decoder.fork(2, 0)
    np.testing.assert_allclose(decoder.logits([0])[0], decoder.logits([2])[0], rtol=0, atol=2e-5)
    assert [decoder.step([0]) for _ in range(9)] == [decoder.step([2]) for _ in range(9)]
    decoder.append(0, [65])
    appended = decoder.logits([0])[0]
    decoder.fork(0, 1)
    decoder.append(0, [66])
    np.testing.assert_allclose(decoder.logits([1])[0], appended, rtol=0, atol=2e-5)
    assert abs(decoder.logits([0])[0] - appended).max() > 1e-3


def test_nothing_is_sampled_after_a_stop(model):
    decoder = Decoder(GPT2Weights.of(model), Sampling(0))
    decoder.start(0, START)
    stream = [token for _ in range(30) for token in decoder.step([0])[0]]
    stop = stream[-1]
    decoder.start(0, START)
    again = []
    while stop not in again:
        again += decoder.step([0], stops={stop})[0]
    assert again == stream[: stream.index(stop) + 1]


@settings(max_examples=20)
@given(st.integers(1, 120), st.sampled_from([START, [vocabulary.PAD], [*START, *b"[HP"]]), st.integers(0, 3))
def test_generate_returns_the_ids_up_to_the_last_byte(model, max_bytes, prompt, seed):
    ids = generate(model, np.array(prompt), max_bytes=max_bytes, temperature=0.9, seed=seed)
    assert ids.dtype == np.uint16 and ids[-1] < vocabulary.PAD and (ids < vocabulary.PAD).sum() == max_bytes
    decoder = Decoder(GPT2Weights.of(model), Sampling(0.9), draft_tokens=0)
    decoder.start(0, prompt, seed)
    assert ids.tolist() == [decoder.step([0])[0][0] for _ in ids]


@pytest.mark.parametrize(
    ("prompt", "options", "value"),
    [
        ([], {}, r"\[0\]"),
        ([256.5], {}, "float64"),
        ([[256]], {}, r"\[1, 1\]"),
        ([256, 262], {}, "262"),
        ([-1], {}, "-1"),
        (START, {"max_bytes": 0}, "max_bytes .* 0"),
        (START, {"temperature": -1.0}, "temperature .* -1"),
        (START, {"top_k": -2}, "top_k .* -2"),
        (START, {"top_p": 0.0}, "top_p .* 0.0"),
    ],
)
def test_generate_refuses_wrong_arguments(model, prompt, options, value):
    with pytest.raises(UsageError, match=value):
        generate(model, prompt, **{"max_bytes": 5, **options})


@given(st.integers(0, 5), st.integers(0, 9), st.floats(0.05, 1), st.floats(0, 1, exclude_max=True))
def test_sampling(seed, top_k, top_p, uniform):
    logits = np.random.default_rng(seed).normal(size=12).astype(np.float32)
    likeliest = sorted(range(12), key=lambda token: -logits[token])[: top_k or 12]
    weights = {token: np.exp(float(logits[token]) / 0.7) for token in likeliest}
    total, kept, mass = sum(weights.values()), [], 0.0
    for token in likeliest:
        if mass < top_p * total * (1 - 1e-12):
            kept.append(token)
            mass += weights[token]
    drawn = Sampling(0.7, top_k, top_p).draw(logits[None], np.array([uniform]))[0]
    below = sum(weights[token] for token in kept if token < drawn)
    assert drawn in kept
    assert below - 1e-9 <= uniform * mass <= below + weights[drawn] + 1e-9


def test_the_grammar_accepts_exactly_the_ids_that_decode_to_turns(model):
    for temperature in (1.0, 5.0):
        for stream in sampled(model, Sampling(temperature), 400, slots=2):
            while stream[-1] in (vocabulary.CLIENT, vocabulary.SERVER):
                stream.pop()
            turns.decode(np.array(START + stream))
    for ids in ([256], [256, 258], [256, 258, 259], [256, 258, 259, 65], [256, 258, 260, 257]):
        for token in range(vocabulary.VOCAB_SIZE):
            # A direction token needs a delay token after it for decoding.
            closed = [*ids, token, *([259] if token in (257, 258) else [])]
            try:
                turns.decode(np.array(closed))
                accepted = True
            except ValueError:
                accepted = False
            assert turns.MAY_FOLLOW[ids[-1], token] == accepted


def test_the_stock_generate_follows_the_grammar(model):
    ids = model.generate(
        torch.tensor([[vocabulary.PAD]] * 2),
        do_sample=True,
        temperature=5.0,
        max_new_tokens=60,
        eos_token_id=None,
        logits_processor=LogitsProcessorList([Grammar()]),
    )
    for row in ids.numpy():
        turns.decode(row[:-1] if row[-1] in (vocabulary.CLIENT, vocabulary.SERVER) else row)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_samples_the_same(model):
    expected = sampled(model, Sampling(0), 100, slots=4)
    try:
        assert sampled(model.to("cuda"), Sampling(0), 100, slots=4) == expected
    finally:
        model.to("cpu")


def test_the_benchmark_measures_the_engine_and_the_stock_generate(model, monkeypatch):
    monkeypatch.setattr(benchmark, "RUNS", 3)
    monkeypatch.setattr(benchmark, "LENGTH", 200)
    speeds = benchmark.generation_speeds(model, trained_tokens=16_000)
    assert list(speeds) == ["greylord", "without drafts", "model.generate"]
    assert all(len(rounds) == 3 for rounds in speeds.values())
