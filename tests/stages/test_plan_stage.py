"""Plans by a ledger on disk: exact where documents are prepared, otherwise ranges."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.documents.names import proper_names
from steep.generation.config import GenerateConfig
from steep.generation.forecast import StepForecast
from steep.generation.planning import Plan, hosts_of, plan_of
from steep.generation.probe import choose, shares_of
from steep.generation.setup import plan_view, recipes_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, Slot, SubmittedBatch
from steep.recipes.recipe import CallSequence
from steep.testing.tiny_corpus import DOCUMENTS

TINY = tuple(Document(each.id, each.title, each.text) for each in DOCUMENTS)
AT = "http://127.0.0.1:9/v1"
PRICED: dict[str, Any] = {
    "usd_per_million_input_tokens": 1.0,
    "usd_per_million_cached_tokens": 0.1,
    "usd_per_million_output_tokens": 4.0,
}


def settings(recipes: dict[str, Any] | None = None, /, **fields: Any) -> GenerateConfig:
    """Settings with EntiGraph, whose options may stand among the fields; or with other recipes."""
    names = ("pairs", "triplets", "prompt_order", "min_entities", "max_entities")
    options = {name: fields.pop(name) for name in names if name in fields}
    own = {"entigraph": options} if recipes is None else recipes
    base = {"base_url": AT, "model": "m", "max_tokens": 100, "recipes": own}
    return GenerateConfig(**{**base, **PRICED, **fields})


def entities_json(document: Document) -> str:
    names = proper_names(document.text)[:5]
    return json.dumps({"summary": "It is told.", "entities": names})


def answer(call: Call, text: str, usage: Usage, cost_usd: float | None = 0.5) -> Completion:
    return Completion(call.id, text, "stop", usage, cost_usd, 1.0, AT, 1)


def first_call(config: GenerateConfig, document: Document) -> Call:
    return recipes_of(config)[0].steps[0].calls(document, {})[0]


def prepare(
    ledger: Ledger,
    config: GenerateConfig,
    documents: Sequence[Document] = TINY,
    prompt_tokens: int = 200,
) -> None:
    """Answer what prepares documents, with five entities each."""
    for document in documents:
        call = first_call(config, document)
        done = answer(call, entities_json(document), Usage(prompt_tokens, 0, 20))
        ledger.record([Entry(call, done)])


def texts(config: GenerateConfig, step: str, document: Document = TINY[0]) -> CallSequence:
    (recipe,) = recipes_of(config)
    return recipe.step(step).calls(document, {"entities": [entities_json(document)]})


def make(ledger: Ledger, calls: CallSequence, number: int, slots: bool = True) -> None:
    for rank in range(number):
        slot = Slot(calls.key, rank) if slots else None
        done = answer(calls[rank], "A text.", Usage(300, 250, 50), 0.01)
        ledger.record([Entry(calls[rank], done, slot)])


def planned(config: GenerateConfig, ledger: Ledger, rate: float | None = None) -> Plan:
    return plan_of(config, TINY, ledger, rate)


def step_of(plan: Plan, name: str, document: int | None = None) -> StepForecast:
    steps = plan.forecast.steps if document is None else plan.forecast.documents[document].steps
    return next(each for each in steps if each.step == name)


def replace_concurrency(config: GenerateConfig, concurrency: int) -> GenerateConfig:
    return config.model_copy(update={"concurrency": concurrency})


def test_prepared_documents_have_an_exact_number_of_calls(ledger: Ledger) -> None:
    config = settings(triplets=4)
    prepare(ledger, config, TINY[:1])
    plan = planned(config, ledger)
    first, *others = plan.forecast.documents
    assert first.exact and not any(each.exact for each in others)
    assert [(each.step, each.done) for each in first.steps] == [
        ("entities", 1),
        ("pairs", 0),
        ("triplets", 0),
    ]
    assert [each.to_do.calls for each in first.steps] == [
        Range.exactly(0),
        Range.exactly(10),
        Range.exactly(4),
    ]
    for row in (1, 2):
        assert step_of(plan, "entities", row).to_do.calls == Range(1, 1, 3)
        pairs = step_of(plan, "pairs", row).to_do.calls
        assert 1 <= pairs.low < pairs.expected < pairs.high <= 60 * 59 / 2


def test_options_bound_what_is_not_known(ledger: Ledger) -> None:
    plan = planned(settings(min_entities=3, max_entities=4, pairs=5), ledger)
    pairs = step_of(plan, "pairs", 0).to_do.calls
    assert 3 <= pairs.low <= pairs.high == 5


def test_prepared_documents_correct_what_is_expected_of_others(ledger: Ledger) -> None:
    config = settings()
    before = step_of(planned(config, ledger), "pairs", 2).to_do.calls
    prepare(ledger, config, TINY[:1])
    after = step_of(planned(config, ledger), "pairs", 2).to_do.calls
    (recipe,) = recipes_of(config)
    guess = recipe.step("pairs").expected_calls(TINY[0]).expected
    assert after.expected == pytest.approx(max(before.low, before.expected * 10 / guess))


def test_a_plan_of_several_recipes_has_the_steps_of_all(ledger: Ledger) -> None:
    config = settings({"entigraph": {"pairs": 5}, "rephrase": {"samples": 2}, "qa": {}})
    plan = planned(config, ledger)
    assert [(each.recipe, each.step) for each in plan.forecast.steps] == [
        ("entigraph", "entities"),
        ("entigraph", "pairs"),
        ("entigraph", "triplets"),
        ("rephrase", "texts"),
        ("qa", "texts"),
    ]
    assert plan.forecast.steps[3].to_do.calls == Range.exactly(3 * 3 * 2)
    assert plan.forecast.steps[4].to_do.calls == Range.exactly(3 * 4)
    only_qa = planned(settings({"qa": {}}), ledger)
    assert all(each.exact for each in only_qa.forecast.documents)


def test_what_is_completed_is_shown_apart_and_costs_nothing_more(ledger: Ledger) -> None:
    config = settings(triplets=4)
    prepare(ledger, config)
    whole = planned(config, ledger).forecast.documents[0].to_do.cost_usd
    make(ledger, texts(config, "pairs"), 10)
    make(ledger, texts(config, "triplets"), 2)
    plan = planned(config, ledger)
    row = plan.forecast.documents[0]
    assert [each.done for each in row.steps] == [1, 10, 2]
    assert [each.to_do.calls.expected for each in row.steps] == [0, 0, 2]
    cost = row.to_do.cost_usd
    assert whole is not None and cost is not None and cost.expected < whole.expected
    assert plan.completed.usage == Usage(3 * 200 + 12 * 300, 12 * 250, 3 * 20 + 12 * 50)
    assert plan.completed.known_usd == pytest.approx(3 * 0.5 + 12 * 0.01)


def test_calls_of_another_plan_are_not_planned_again(ledger: Ledger) -> None:
    config = settings(triplets=4)
    prepare(ledger, config)
    make(ledger, texts(config, "pairs"), 10, slots=False)
    make(ledger, texts(config, "triplets"), 2, slots=False)
    plan = planned(config, ledger)
    assert [each.done for each in plan.forecast.documents[0].steps] == [1, 10, 2]
    assert step_of(plan, "triplets", 0).to_do.calls == Range.exactly(2)


def test_nothing_is_left_of_a_plan_that_is_done(ledger: Ledger) -> None:
    config = settings()
    prepare(ledger, config)
    for document in TINY:
        make(ledger, texts(config, "pairs", document), 10)
    plan = planned(config, ledger)
    assert plan.forecast.to_do.calls == Range.exactly(0)
    assert plan.forecast.to_do.cost_usd == Range.exactly(0)
    assert plan.sent == ()


def test_a_measured_share_of_the_prompts_is_cached(ledger: Ledger) -> None:
    config = settings()
    prepare(ledger, config)
    unknown = planned(config, ledger).forecast.to_do.cached_tokens
    assert unknown.expected == 0, "prompts this short are cached nowhere, as far as is known"
    make(ledger, texts(config, "pairs"), 8)
    to_do = planned(config, ledger).forecast.to_do
    assert to_do.cached_tokens.expected == pytest.approx(to_do.prompt_tokens.expected * 250 / 300)
    batches = settings(engine="openai-batch")
    assert planned(batches, ledger).forecast.to_do.cached_tokens == Range.exactly(0)


LIMITS = st.sampled_from(("max_cost_usd", "max_total_tokens", "target_tokens"))


@examples(max_examples=40, deadline=None)
@given(limit=LIMITS, share=st.floats(0.02, 1.5), prepared=st.integers(0, 3))
def test_no_value_of_a_plan_exceeds_a_limit(
    tmp_path_factory: pytest.TempPathFactory, limit: str, share: float, prepared: int
) -> None:
    """Whatever the limit: low <= expected <= high of what is to do, and high within it."""
    with Ledger(tmp_path_factory.mktemp("plan") / "ledger.db") as ledger:
        config = settings(triplets=20)
        prepare(ledger, config, TINY[:prepared])
        whole = planned(config, ledger)
        size = {
            "max_cost_usd": whole.forecast.to_do.cost_usd,
            "max_total_tokens": whole.forecast.to_do.prompt_tokens
            + whole.forecast.to_do.completion_tokens,
            "target_tokens": whole.forecast.to_do.completion_tokens,
        }[limit]
        assert size is not None
        left = max(1.0, size.expected * share)
        spent = {"max_cost_usd": 0.5, "max_total_tokens": 220, "target_tokens": 0}[limit] * prepared
        amount = left + spent if limit == "max_cost_usd" else round(left + spent) + 1
        plan = planned(settings(triplets=20, **{limit: amount}), ledger)
        to_do = plan.forecast.to_do
        assert to_do.cost_usd is not None
        for each in (to_do.calls, to_do.prompt_tokens, to_do.completion_tokens, to_do.cost_usd):
            assert 0 <= each.low <= each.expected <= each.high
        preparing = plan.forecast.steps[0].to_do.completion_tokens
        found = {
            "max_cost_usd": to_do.cost_usd.high,
            "max_total_tokens": to_do.prompt_tokens.expected + to_do.completion_tokens.expected,
            "target_tokens": to_do.completion_tokens.high - preparing.high,
        }[limit]
        assert found <= (amount - spent) * (1 + 1e-6)
        for row in (plan.forecast.documents, plan.forecast.steps):
            calls = sum(each.to_do.calls.expected for each in row)
            assert calls == pytest.approx(to_do.calls.expected)


def test_a_limit_leaves_every_document_served_in_proportion(ledger: Ledger) -> None:
    long = Document("long", "Long", TINY[0].text * 3)
    documents = [TINY[0], long]
    config = settings({"qa": {"samples": 10_000}}, target_tokens=100_000)
    short, longer = plan_of(config, documents, ledger).forecast.documents
    ratio = longer.to_do.calls.expected / short.to_do.calls.expected
    assert ratio == pytest.approx(3, rel=0.05)


def test_a_limit_below_one_call_pays_for_nothing_and_says_so(ledger: Ledger) -> None:
    plan = planned(settings(max_cost_usd=0.0001), ledger)
    (warning,) = plan.warnings
    assert "$0.0001, does not suffice for one call" in warning
    enough = planned(settings(max_cost_usd=0.01), ledger)
    assert "will end the run before the plan's end" in enough.warnings[0]


def test_a_model_of_ones_own_has_no_limit_in_dollars(ledger: Ledger) -> None:
    plan = planned(settings(engine="embedded", max_cost_usd=0.001), ledger)
    assert plan.limit is None and plan.forecast.to_do.calls.expected > 0


def test_what_other_plans_have_paid_is_told_apart(ledger: Ledger) -> None:
    prepare(ledger, settings(prompt_order="paper"), TINY[:1])
    plan = planned(settings(), ledger)
    assert (plan.completed.known_usd, plan.completed.planned - plan.completed.to_do) == (0, 0)
    assert (plan.in_all.known_usd, plan.in_all.calls) == (0.5, 1)


def test_calls_that_wait_in_a_batch_are_told(ledger: Ledger) -> None:
    config = settings(engine="openai-batch")
    call = first_call(config, TINY[0])
    ledger.submit(SubmittedBatch("t", AT, "preparing", 1, "2026-01-01T00:00:00+00:00"), [call])
    plan = planned(config, ledger)
    assert (plan.completed.submitted, plan.in_all.calls) == (1, 0)
    assert step_of(plan, "entities").to_do.calls.expected == 3


def test_what_was_measured_is_said_by_step(ledger: Ledger) -> None:
    config = settings(triplets=4)
    prepare(ledger, config)
    assert planned(config, ledger).measured_answers == {}  # three answers are too few
    make(ledger, texts(config, "pairs"), 5)
    plan = planned(config, ledger)
    assert plan.measured_answers == {"entigraph/pairs": 5}
    pairs = step_of(plan, "pairs").to_do
    assert pairs.completion_tokens.expected == pytest.approx(50 * pairs.calls.expected)


def test_each_endpoint_reads_its_documents_and_a_probe_goes_to_the_same(ledger: Ledger) -> None:
    config = settings(base_url=("https://api.openai.com/v1", AT))
    first, second = planned(config, ledger).hosts
    assert {*first.documents, *second.documents} == {each.id for each in TINY}
    assert len(first.documents) + len(second.documents) == len(TINY)
    assert all(first.documents) and all(second.documents)
    chosen = [each for each in TINY if each.id in second.documents]
    ((host, own, part),) = shares_of(config, TINY, chosen)
    assert (host.name, own.base_url, part) == (second.name, AT, chosen)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"base_url": "localhost:8000/v1"}, "not the address of an endpoint"),
        ({"base_url": (AT, AT + "/")}, "named twice"),
        ({"api_key_env": "STEEP_NO_SUCH_KEY"}, "STEEP_NO_SUCH_KEY is not set"),
        ({"engine": "embedded"}, "supports the embedded model only"),
    ],
)
def test_what_generate_would_refuse_is_told(
    ledger: Ledger, fields: dict[str, Any], problem: str
) -> None:
    (warning,) = planned(settings(**fields), ledger).warnings
    assert warning.startswith("generate will refuse to start: ")
    assert problem in warning and "\n" not in warning
    assert planned(settings(), ledger).warnings == ()


def test_a_plan_with_nothing_to_send_needs_no_key(ledger: Ledger) -> None:
    config = settings(pairs=1, api_key_env="STEEP_NO_SUCH_KEY")
    prepare(ledger, config)
    for document in TINY[1:]:
        make(ledger, texts(config, "pairs", document), 1)
    assert "is not set" in planned(config, ledger).warnings[0]
    make(ledger, texts(config, "pairs", TINY[0]), 1)
    assert (planned(config, ledger).sent, planned(config, ledger).warnings) == ((), ())


def test_limits_a_minute_say_how_long_it_takes_at_least(ledger: Ledger) -> None:
    plan = planned(settings(pairs=10, requests_per_minute=0.5), ledger)
    assert plan.hours is not None
    assert (plan.tokens_per_s, plan.rate_source) == (None, "unknown")
    assert plan.hours.expected == pytest.approx(plan.forecast.to_do.calls.expected / 0.5 / 60)
    batches = settings(pairs=10, requests_per_minute=0.5, engine="openai-batch")
    assert planned(batches, ledger).hours is None


def test_a_limit_in_dollars_needs_a_price(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="needs prices"):
        planned(settings(usd_per_million_output_tokens=None, max_cost_usd=1.0), ledger)


def test_hours_at_a_given_or_the_measured_rate(ledger: Ledger) -> None:
    config = settings(pairs=10)
    unknown = planned(config, ledger)
    assert (unknown.hours, unknown.rate_source) == (None, "unknown")
    given = planned(config, ledger, rate=10.0)
    assert given.hours is not None and given.rate_source == "given"
    assert given.hours.expected == pytest.approx(
        given.forecast.to_do.completion_tokens.expected / 36_000
    )
    prepare(ledger, config)
    make(ledger, texts(config, "pairs"), 4)
    assert planned(replace_concurrency(config, 8), ledger).rate_source == "measured"
    scaled = planned(replace_concurrency(config, 64), ledger)
    assert scaled.rate_source.endswith("calls at once, for 64")
    assert scaled.hours is not None and scaled.tokens_per_s is not None
    slow_per_s = scaled.forecast.to_do.completion_tokens.high / scaled.hours.high / 3600
    assert slow_per_s < scaled.tokens_per_s / 5, "the endpoint may be at its limit already"


def test_limits_of_the_configuration_make_it_longer(ledger: Ledger) -> None:
    config = settings(pairs=10)
    total = planned(config, ledger).forecast.to_do
    fast = planned(settings(pairs=10, requests_per_minute=0.5), ledger, rate=1e6).hours
    assert fast is not None
    assert fast.expected == pytest.approx(total.calls.expected / 0.5 / 60)
    tokens = total.prompt_tokens.expected + total.completion_tokens.expected
    both = ("https://api.openai.com/v1", AT)
    shared = settings(pairs=10, tokens_per_minute=1000, base_url=both)
    hours = planned(shared, ledger, rate=1e6).hours
    assert hours is not None
    assert hours.expected == pytest.approx(tokens / 2000 / 60)


def test_a_limit_in_tokens_that_will_end_the_run_is_told(ledger: Ledger) -> None:
    assert planned(settings(max_total_tokens=10_000_000), ledger).warnings == ()
    (warning,) = planned(settings(max_total_tokens=100), ledger).warnings
    assert "generate.max_total_tokens, 100, will end the run" in warning


def test_an_unknown_price_is_unknown_and_not_nothing(ledger: Ledger) -> None:
    plan = planned(settings(usd_per_million_output_tokens=None), ledger)
    assert plan.forecast.to_do.cost_usd is None
    assert all(row.to_do.cost_usd is None for row in plan.forecast.documents)
    assert plan.as_json()["to_do"]["cost_usd"] is None


@pytest.mark.parametrize(
    ("url", "name", "leaves"),
    [
        ("https://api.openai.com/v1", "api.openai.com", True),
        ("http://user:key@gpu-7:8000/v1", "gpu-7:8000", True),
        ("http://localhost:8000/v1", "localhost:8000", False),
        ("http://127.0.0.9:8000/v1", "127.0.0.9:8000", False),
        ("http://[::1]:8000/v1", "[::1]:8000", False),
        ("http://10.0.0.7:8000/v1", "10.0.0.7:8000", True),
    ],
)
def test_who_sees_the_documents(url: str, name: str, leaves: bool) -> None:
    (host,) = hosts_of(settings().model_copy(update={"base_url": url}))
    assert (host.name, host.leaves) == (name, leaves)


def test_a_model_in_process_sees_them_here(ledger: Ledger) -> None:
    config = settings(engine="embedded")
    (host,) = hosts_of(config)
    assert (host.name, host.leaves) == ("nothing leaves this machine", False)
    assert planned(config, ledger).forecast.to_do.cost_usd == Range.exactly(0)
    (cluster,) = hosts_of(settings(engine="ray", ray_address="head:6379"))
    assert cluster.leaves and "head:6379" in cluster.name


def test_one_endpoint_without_a_price_makes_the_cost_unknown(ledger: Ledger) -> None:
    nothing = dict.fromkeys(PRICED)
    listed = settings(model="gpt-4-turbo", base_url="https://api.openai.com/v1", **nothing)
    plan = planned(listed, ledger)
    assert plan.forecast.to_do.cost_usd is not None
    assert plan.hosts[0].prices.source.startswith("genai-prices")
    several = settings(model="gpt-4-turbo", base_url=("https://api.openai.com/v1", AT), **nothing)
    assert planned(several, ledger).forecast.to_do.cost_usd is None


def test_probes_are_spread_over_the_lengths() -> None:
    documents = [Document(f"d{n}", "T", "x" * n) for n in (900, 100, 500, 300, 700)]
    assert [each.id for each in choose(documents, 1)] == ["d500"]
    assert [each.id for each in choose(documents, 2)] == ["d300", "d700"]
    assert [each.id for each in choose(documents, 9)] == ["d100", "d300", "d500", "d700", "d900"]


def test_documents_that_may_exceed_the_context_are_a_warning(ledger: Ledger) -> None:
    long = Document("log", "The Log", "It rained on the lake. " * 40_000)
    unknown = plan_of(settings(pairs=3), [*TINY, long], ledger, None)
    (warning,) = unknown.warnings
    assert warning.startswith(f"1 of {len(TINY) + 1} documents may be too long")
    assert (
        "log. The longest has 920,000 characters" in warning and "documents.split_tokens" in warning
    )
    hosted = settings(pairs=3, base_url="https://api.openai.com/v1", model="gpt-4o-mini")
    (warning,) = plan_of(hosted, [*TINY, long], ledger, None).warnings
    assert "the context of this model, 128,000 tokens" in warning
    assert "Set documents.split_tokens to 63950 or less" in warning


def test_a_million_calls_are_planned_at_once(ledger: Ledger) -> None:
    names = [f"Person{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(45)]
    documents = [Document(f"d{n}", f"Title {n}", " ".join(names)) for n in range(100)]
    config = settings(triplets=9010)
    text = json.dumps({"summary": "All of them.", "entities": names})
    first = [first_call(config, document) for document in documents]
    ledger.record([Entry(call, answer(call, text, Usage(100, 0, 50))) for call in first])
    start = time.process_time()
    plan = plan_of(config, documents, ledger)
    assert plan.forecast.to_do.calls == Range.exactly(1_000_000)
    assert time.process_time() - start < 10


def test_a_thought_has_room_beside_the_answer() -> None:
    plain, thinking = (
        first_call(settings(max_tokens=100, reasoning_tokens=tokens), TINY[2])
        for tokens in (0, 400)
    )
    assert (plain.sampling.max_tokens, thinking.sampling.max_tokens) == (100, 500)


def test_documents_that_give_nothing_to_write_about_are_a_warning(ledger: Ledger) -> None:
    config = settings(pairs=10)
    for document in TINY[:2]:
        attempts = recipes_of(config)[0].steps[0].calls(document, {})
        for rank in range(len(attempts)):
            refused = answer(attempts[rank], "I read it.", Usage(200, 0, 20))
            ledger.record([Entry(attempts[rank], refused)])
    (warning,) = planned(config, ledger).warnings
    assert warning.startswith(f"entigraph: nothing to write about in 2 of {len(TINY)} documents (")
    assert "steep generate --retry-empty" in warning
    view = plan_view(config, TINY, ledger)
    assert [each.document_id for each in view.totals().without_calls] == [d.id for d in TINY[:2]]
