"""Plans by a ledger on disk: exact where entities are known, ranges where not, goals shared."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from steep.generation.courses import Planner
from steep.generation.prospects import guessed_entities, survey
from steep.stages.probe import choose, parts_of, shares_of

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.documents.names import proper_names
from steep.generation.config import GenerateConfig
from steep.generation.estimate import Range
from steep.generation.usage_stats import Measured
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, Slot, SubmittedBatch
from steep.llm.prices import Prices
from steep.recipes.entigraph import RelationCalls
from steep.stages.generate import recipe_of
from steep.stages.plan import Plan, hosts_of, plan_of
from steep.testing.tiny_corpus import DOCUMENTS

TINY = tuple(Document(each.id, each.title, each.text) for each in DOCUMENTS)
AT = "http://127.0.0.1:9/v1"
PRICED: dict[str, Any] = {
    "usd_per_million_input_tokens": 1.0,
    "usd_per_million_cached_tokens": 0.1,
    "usd_per_million_output_tokens": 4.0,
}


def settings(**fields: Any) -> GenerateConfig:
    return GenerateConfig(**{"base_url": AT, "model": "m", "max_tokens": 100, **PRICED, **fields})


def entities_json(document: Document) -> str:
    names = proper_names(document.text)[:5]
    return json.dumps({"summary": "It is told.", "entities": names})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def answer(call: Call, text: str, usage: Usage, cost_usd: float | None = 0.5) -> Completion:
    return Completion(call.id, text, "stop", usage, cost_usd, 1.0, AT, 1)


def open_documents(
    ledger: Ledger,
    config: GenerateConfig,
    documents: Sequence[Document] = TINY,
    prompt_tokens: int = 200,
) -> None:
    """Buy their openings, with five entities each."""
    recipe = recipe_of(config)
    for document in documents:
        call = recipe.opening(document, [])
        assert call is not None
        done = answer(call, entities_json(document), Usage(prompt_tokens, 0, 20))
        ledger.record([Entry(call, done)])


def relations(config: GenerateConfig, document: Document = TINY[0]) -> RelationCalls:
    return recipe_of(config).calls(document, [entities_json(document)])


def buy(ledger: Ledger, calls: RelationCalls, number: int, slots: bool = True) -> None:
    for rank, call in enumerate(calls[:number]):
        slot = Slot(calls.key, rank) if slots else None
        ledger.record([Entry(call, answer(call, "A text.", Usage(300, 250, 50), 0.01), slot)])


def planned(config: GenerateConfig, ledger: Ledger, rate: float | None = None) -> Plan:
    return plan_of(config, TINY, ledger, rate)


def test_known_entities_make_the_calls_exact(ledger: Ledger) -> None:
    config = settings(triplets=4)
    open_documents(ledger, config, TINY[:1])
    first, *others = planned(config, ledger).documents
    assert (first.exact, first.entities) == (True, Range.exactly(5))
    assert first.openings == Range.exactly(0)
    assert (first.pairs, first.triplets) == (Range.exactly(10), Range.exactly(4))
    for row in others:
        assert not row.exact
        assert row.openings == Range(1, 1, 3)
        assert (row.pairs.low, row.pairs.high) == (1, 60 * 59 / 2)
        assert row.pairs.low < row.pairs.expected < row.pairs.high


def test_the_configuration_bounds_what_is_not_known(ledger: Ledger) -> None:
    row = planned(settings(min_entities=3, max_entities=4, pairs=5), ledger).documents[0]
    assert (row.entities.low, row.entities.high) == (3, 4)
    assert (row.pairs.low, row.pairs.high) == (3, 5)


def test_triplets_that_only_a_dear_course_has_are_paid_for(ledger: Ledger) -> None:
    nameless = [Document("d", "Untitled", "nothing is named here")]
    one = settings(min_entities=2, max_entities=2, triplets=5)
    two = settings(min_entities=2, max_entities=3, triplets=5)
    few, more = (plan_of(config, nameless, ledger, None).total for config in (one, two))
    assert (few.triplets.high, more.triplets.expected, more.triplets.high) == (0, 0, 1)
    assert more.completion_tokens.high == few.completion_tokens.high + (2 + 1) * 100


def test_opened_documents_correct_the_guess_for_the_others(ledger: Ledger) -> None:
    config = settings()
    before = planned(config, ledger).documents[2].entities
    open_documents(ledger, config, TINY[:1])
    after = planned(config, ledger).documents[2].entities
    opened = TINY[0].text
    expected = guessed_entities(TINY[2].text) * 5 / guessed_entities(opened)
    assert after.expected == round(expected) < before.expected


def test_an_entity_list_is_guessed_by_names_and_length() -> None:
    assert guessed_entities("It is so. " * 10) < 1
    assert guessed_entities("nothing is named " * 500) == pytest.approx(17 * 500 / 1600)
    many = "of " + " and ".join(f"N{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200))
    assert guessed_entities(many) == 10


def test_what_is_bought_is_shown_apart_and_costs_nothing_more(ledger: Ledger) -> None:
    config = settings(triplets=4)
    open_documents(ledger, config)
    whole = planned(config, ledger).documents[0]
    buy(ledger, relations(config), 12)
    plan = planned(config, ledger)
    row = plan.documents[0]
    assert row.bought == (1, 10, 2)
    assert (row.pairs.expected, row.triplets.expected) == (0, 2)
    assert whole.cost_usd and row.cost_usd and row.cost_usd.expected < whole.cost_usd.expected
    assert plan.spent.usage == Usage(3 * 200 + 12 * 300, 12 * 250, 3 * 20 + 12 * 50)
    assert plan.spent.cost_usd == pytest.approx(3 * 0.5 + 12 * 0.01)


def test_what_another_plan_has_bought_is_not_planned_again(ledger: Ledger) -> None:
    config = settings(triplets=4)
    open_documents(ledger, config)
    buy(ledger, relations(config), 12, slots=False)
    assert planned(config, ledger).documents[0].bought == (1, 10, 2)


def test_nothing_is_left_of_a_plan_that_is_done(ledger: Ledger) -> None:
    config = settings()
    open_documents(ledger, config)
    for document in TINY:
        buy(ledger, relations(config, document), 10)
    plan = planned(config, ledger)
    assert plan.total.calls == Range.exactly(0)
    assert plan.total.cost_usd == Range.exactly(0)
    assert plan.sent == ()


def test_calls_of_a_document_but_the_warming_one_are_cached(ledger: Ledger) -> None:
    config = settings(pairs=10)
    long = (replace(TINY[0], text=TINY[0].text + " It is so." * 4000),)
    open_documents(ledger, config, long, prompt_tokens=10_000)
    row = plan_of(config, long, ledger, None).documents[0]
    share = row.cached_tokens.expected / row.prompt_tokens.expected
    assert 0.8 < share < 0.9  # nine of ten calls, all but their last words
    assert row.cached_tokens.low == 0
    assert row.cached_tokens.expected % (9 * 128) == 0
    assert row.cost_usd is not None
    prompt, answers = row.prompt_tokens, row.completion_tokens
    dollars = prompt.expected - 0.9 * row.cached_tokens.expected + 4 * answers.expected
    assert row.cost_usd.expected == pytest.approx(dollars / 1e6, rel=0.01)
    assert row.cost_usd.high == pytest.approx((prompt.high + 4 * answers.high) / 1e6, rel=0.01)


@pytest.mark.parametrize(("order", "shares"), [("document_first", True), ("paper", False)])
def test_pairs_warm_the_document_for_triplets_unless_in_the_papers_order(
    ledger: Ledger, order: str, shares: bool
) -> None:
    config = settings(pairs=10, triplets=10, prompt_order=order)
    open_documents(ledger, config, TINY[:1])
    (prospect,) = survey(TINY[:1], recipe_of(config), ledger, Measured())
    document_tokens = len(TINY[0].text) / 4
    assert (prospect.common.expected >= document_tokens) == shares
    assert (prospect.common.expected == 0) != shares
    stages = prospect.stages
    prefixes = 9 * (stages["pair"].prefix.expected + stages["triplet"].prefix.expected)
    total = Planner([prospect], [Prices()], "all", None, {}, 0.0).rows()[1]
    assert total.cached_tokens.expected == pytest.approx(prefixes + prospect.common.expected)


def test_an_endpoint_that_never_cached_is_not_expected_to(ledger: Ledger) -> None:
    config = settings()
    open_documents(ledger, config)
    calls = relations(config)
    for rank, call in enumerate(calls[:5]):
        done = answer(call, "A text.", Usage(300, 0, 50))
        ledger.record([Entry(call, done, Slot(calls.key, rank))])
    assert planned(config, ledger).total.cached_tokens == Range.exactly(0)


def test_short_prefixes_are_cached_only_where_that_was_measured(ledger: Ledger) -> None:
    config = settings(pairs=10)
    open_documents(ledger, config)
    cached = planned(config, ledger).total.cached_tokens
    assert (cached.low, cached.expected) == (0, 0)
    assert cached.high > 0  # a server of one's own may cache them
    buy(ledger, relations(config), 5)
    assert planned(config, ledger).total.cached_tokens.expected > 0
    batches = planned(settings(pairs=10, engine="openai-batch"), ledger)
    assert batches.total.cached_tokens == Range.exactly(0)


def spent_so_far(ledger: Ledger, cost_usd: float) -> None:
    """Something that another plan has bought."""
    call = recipe_of(settings(prompt_order="paper", seed=7)).opening(TINY[2], [])
    assert call is not None
    ledger.record([Entry(call, answer(call, entities_json(TINY[2]), Usage(9, 0, 9), cost_usd))])


def test_a_plan_promises_no_more_than_the_limit_leaves(ledger: Ledger) -> None:
    spent_so_far(ledger, 0.0243)
    config = settings(max_cost_usd=0.03, target_tokens=10**6, triplets="all")
    plan = planned(config, ledger)
    assert plan.limit is not None
    assert (plan.limit.spent_usd, plan.limit.left_usd) == pytest.approx((0.0243, 0.0057))
    cost = plan.total.cost_usd
    assert cost is not None
    assert (cost.expected, cost.high) == pytest.approx((0.0057, 0.0057), rel=1e-3)
    whole = planned(settings(target_tokens=10**6, triplets="all"), ledger).total
    assert whole.cost_usd is not None
    share = cost.expected / whole.cost_usd.expected
    assert plan.total.calls.expected == pytest.approx(share * whole.calls.expected, rel=1e-3)
    (warning,) = plan.warnings
    assert "$0.0057, will end the run before the plan's end" in warning


def test_a_limit_that_the_openings_exceed_is_kept_to(ledger: Ledger) -> None:
    spent_so_far(ledger, 0.0243)
    cost = planned(settings(max_cost_usd=0.03, triplets="all"), ledger).total.cost_usd
    assert cost is not None
    assert cost.high <= 0.0057 + 1e-12


def test_a_dear_course_spends_a_whole_goal_in_dollars(ledger: Ledger) -> None:
    whole = planned(settings(), ledger).total.cost_usd
    assert whole is not None
    limit_usd = (whole.expected + whole.high) / 2
    cost = planned(settings(max_cost_usd=limit_usd), ledger).total.cost_usd
    assert cost is not None
    assert (cost.low, cost.high) == pytest.approx((whole.low, limit_usd))


def test_a_limit_below_one_call_buys_nothing_and_says_so(ledger: Ledger) -> None:
    plan = planned(settings(max_cost_usd=0.001), ledger)
    assert plan.total.calls == Range.exactly(0)
    assert plan.total.cost_usd == Range.exactly(0)
    assert plan.sent == plan.hosts[0].documents == ()
    (warning,) = plan.warnings
    assert "$0.0010, does not suffice for one call" in warning
    assert "buy nothing" in warning
    enough = planned(settings(max_cost_usd=0.01), ledger)
    assert enough.total.calls.expected > 0 and "buy nothing" not in "".join(enough.warnings)


def test_a_model_of_ones_own_has_no_limit_in_dollars(ledger: Ledger) -> None:
    plan = planned(settings(engine="embedded", max_cost_usd=0.001), ledger)
    assert plan.limit is None and plan.total.calls.expected > 0


def test_what_other_plans_have_bought_is_told_apart(ledger: Ledger) -> None:
    spent_so_far(ledger, 0.4)
    plan = planned(settings(), ledger)
    assert (plan.spent.cost_usd, sum(plan.total.bought)) == (0, 0)
    assert (plan.in_all.known_usd, plan.in_all.calls) == (0.4, 1)


def test_calls_that_wait_in_a_batch_are_told(ledger: Ledger) -> None:
    config = settings(engine="openai-batch")
    opening = recipe_of(config).opening(TINY[0], [])
    assert opening is not None
    ledger.submit(SubmittedBatch("t", AT, "preparing", 1, "2026-01-01T00:00:00+00:00"), [opening])
    plan = planned(config, ledger)
    assert (plan.submitted, plan.total.openings.expected, plan.in_all.calls) == (1, 3, 0)


def test_what_was_measured_is_said_by_stage(ledger: Ledger) -> None:
    config = settings(triplets=4)
    open_documents(ledger, config)
    assert planned(config, ledger).measured_answers == {}  # three openings are too few
    buy(ledger, relations(config), 5)
    assert planned(config, ledger).measured_answers == {"pair": 5}


def test_triplets_of_a_probe_fill_no_share_of_a_goal_that_ends_before_them(ledger: Ledger) -> None:
    config = settings(triplets="all", target_tokens=400)
    open_documents(ledger, config)
    probed = recipe_of(settings(pairs=0, triplets=4)).calls(TINY[0], [entities_json(TINY[0])])
    before = planned(config, ledger).total.pairs.expected
    buy(ledger, probed, 4)
    plan = planned(config, ledger)
    assert plan.documents[0].bought == (1, 0, 4)
    assert plan.spent.usage.completion_tokens == 3 * 20 + 4 * 50
    assert plan.total.pairs.expected > 0.5 * before


@pytest.mark.parametrize(("pairs", "triplets", "parts"), [(5, 3, 2), (5, 0, 1), (0, 3, 1)])
def test_a_probe_buys_calls_of_the_whole_recipe_of_both_kinds(
    pairs: int, triplets: int, parts: int
) -> None:
    recipe = recipe_of(settings(pairs=pairs, triplets=triplets))
    texts = [entities_json(TINY[0])]
    whole = {call.id for call in recipe.calls(TINY[0], texts)}
    probed = [{call.id for call in part.calls(TINY[0], texts)} for part in parts_of(recipe)]
    assert len(probed) == parts
    assert set().union(*probed) == whole


def test_each_endpoint_reads_its_documents_and_a_probe_goes_to_the_same(ledger: Ledger) -> None:
    config = settings(base_url=("https://api.openai.com/v1", AT))
    first, second = planned(config, ledger).hosts
    assert {*first.documents, *second.documents} == {each.id for each in TINY}
    assert len(first.documents) + len(second.documents) == len(TINY)
    assert all(first.documents) and all(second.documents)
    chosen = [each for each in TINY if each.id in second.documents]
    (share,) = shares_of(config, TINY, chosen)
    assert (share.host.name, share.settings.base_url) == (second.name, AT)
    assert share.documents == chosen


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"base_url": "localhost:8000/v1"}, "not the address of an endpoint"),
        ({"base_url": (AT, AT + "/")}, "named twice"),
        ({"api_key_env": "STEEP_NO_SUCH_KEY"}, "STEEP_NO_SUCH_KEY is not set"),
        ({"engine": "embedded"}, "writes with the embedded model only"),
    ],
)
def test_what_generate_would_refuse_is_told(
    ledger: Ledger, fields: dict[str, Any], problem: str
) -> None:
    (warning,) = planned(settings(**fields), ledger).warnings
    assert warning.startswith("generate will refuse to start: ")
    assert problem in warning and "\n" not in warning
    assert planned(settings(), ledger).warnings == ()


def test_limits_a_minute_say_how_long_it_takes_at_least(ledger: Ledger) -> None:
    plan = planned(settings(pairs=10, requests_per_minute=0.5), ledger)
    assert plan.hours is not None
    assert (plan.tokens_per_s, plan.rate_source) == (None, "unknown")
    assert plan.hours.expected == pytest.approx(plan.total.calls.expected / 0.5 / 60)
    batches = settings(pairs=10, requests_per_minute=0.5, engine="openai-batch")
    assert planned(batches, ledger).hours is None


def test_an_unknown_price_is_unknown_and_not_nothing(ledger: Ledger) -> None:
    plan = planned(settings(usd_per_million_output_tokens=None), ledger)
    assert plan.total.cost_usd is None
    assert all(row.cost_usd is None for row in plan.documents)
    assert plan.as_json()["total"]["cost_usd"] is None


def test_a_limit_in_dollars_needs_a_price(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="needs prices"):
        planned(settings(usd_per_million_output_tokens=None, max_cost_usd=1.0), ledger)


@pytest.mark.parametrize("opened", [0, 3])
def test_a_goal_in_tokens_is_met_and_shared_by_length(ledger: Ledger, opened: int) -> None:
    config = settings(triplets="all", target_tokens=400)
    open_documents(ledger, config, TINY[:opened])
    if opened:
        buy(ledger, relations(config), 2)
    plan = planned(config, ledger)
    openings = plan.total.openings.expected * 35
    left = 400 - 100 * bool(opened)
    texts = plan.total.completion_tokens.expected - openings
    assert texts == pytest.approx(left, abs=50)
    counts = [
        row.pairs.expected + row.triplets.expected + row.bought.relations for row in plan.documents
    ]
    by_length = sorted(zip([len(each.text) for each in TINY], counts, strict=True))
    assert [count for _, count in by_length] == sorted(counts)


def test_a_goal_in_dollars_is_met_with_openings_and_all(ledger: Ledger) -> None:
    config = settings(triplets="all", max_cost_usd=0.02)
    plan = planned(config, ledger)
    assert plan.total.cost_usd is not None
    assert plan.total.cost_usd.expected == pytest.approx(0.02, rel=0.03)
    assert plan.total.pairs.low < plan.total.pairs.expected  # dear calls: fewer of them


def test_a_goal_out_of_reach_takes_the_whole_plan(ledger: Ledger) -> None:
    config = settings(target_tokens=10**9)
    open_documents(ledger, config)
    goal, whole = planned(config, ledger), planned(settings(), ledger)
    assert goal.total.pairs.expected == whole.total.pairs.expected


def replace_concurrency(config: GenerateConfig, concurrency: int) -> GenerateConfig:
    return config.model_copy(update={"concurrency": concurrency})


def test_hours_at_a_given_or_the_measured_rate(ledger: Ledger) -> None:
    config = settings(pairs=10)
    unknown = planned(config, ledger)
    assert (unknown.hours, unknown.rate_source) == (None, "unknown")
    given = planned(config, ledger, rate=10.0)
    assert given.hours is not None and given.rate_source == "given"
    assert given.hours.expected == pytest.approx(given.total.completion_tokens.expected / 36_000)
    open_documents(ledger, config)
    buy(ledger, relations(config), 4)
    assert planned(replace_concurrency(config, 8), ledger).rate_source == "measured"
    scaled = planned(replace_concurrency(config, 64), ledger)
    assert scaled.rate_source.endswith("calls at once, for 64")
    assert scaled.hours is not None and scaled.tokens_per_s is not None
    slow_per_s = scaled.total.completion_tokens.high / scaled.hours.high / 3600
    assert slow_per_s < scaled.tokens_per_s / 5, "the endpoint may be at its limit already"


def test_limits_of_the_configuration_make_it_longer(ledger: Ledger) -> None:
    config = settings(pairs=10)
    total = planned(config, ledger).total
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
    assert planned(config, ledger).total.cost_usd == Range.exactly(0)
    (cluster,) = hosts_of(settings(engine="ray", ray_address="head:6379"))
    assert cluster.leaves and "head:6379" in cluster.name


def test_of_several_endpoints_the_cheapest_and_the_dearest_bound_the_cost(ledger: Ledger) -> None:
    config = settings()
    open_documents(ledger, config)
    prospects = survey(TINY, recipe_of(config), ledger, Measured())

    def cost(*dollars: float) -> Range:
        prices = [
            Prices(usd_per_million_input_tokens=each, usd_per_million_output_tokens=each)
            for each in dollars
        ]
        found = Planner(prospects, prices, "all", None, {}, 0.0).rows()[1].cost_usd
        assert found is not None
        return found

    both, cheap, dear = cost(1, 3), cost(1), cost(3)
    assert (both.low, both.high) == (cheap.low, dear.high)
    assert both.expected == pytest.approx((cheap.expected + dear.expected) / 2)


def test_one_endpoint_without_a_price_makes_the_cost_unknown(ledger: Ledger) -> None:
    nothing = dict.fromkeys(PRICED)
    listed = settings(model="gpt-4-turbo", base_url="https://api.openai.com/v1", **nothing)
    plan = planned(listed, ledger)
    assert plan.total.cost_usd is not None
    assert plan.hosts[0].prices.source.startswith("genai-prices")
    several = settings(model="gpt-4-turbo", base_url=("https://api.openai.com/v1", AT), **nothing)
    assert planned(several, ledger).total.cost_usd is None


def test_probes_are_spread_over_the_lengths() -> None:
    documents = [Document(f"d{n}", "T", "x" * n) for n in (900, 100, 500, 300, 700)]
    assert [each.id for each in choose(documents, 1)] == ["d500"]
    assert [each.id for each in choose(documents, 2)] == ["d300", "d700"]
    assert [each.id for each in choose(documents, 9)] == ["d100", "d300", "d500", "d700", "d900"]


def test_a_million_calls_are_planned_at_once(ledger: Ledger) -> None:
    names = [f"Person{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(45)]
    documents = [Document(f"d{n}", f"Title {n}", " ".join(names)) for n in range(100)]
    config = settings(triplets=9010)
    recipe = recipe_of(config)
    text = json.dumps({"summary": "All of them.", "entities": names})
    entries = []
    for document in documents:
        call = recipe.opening(document, [])
        assert call is not None
        entries.append(Entry(call, answer(call, text, Usage(100, 0, 50))))
    ledger.record(entries)
    start = time.process_time()
    plan = plan_of(config, documents, ledger, None)
    assert plan.total.calls == Range.exactly(1_000_000)
    assert time.process_time() - start < 10


def test_a_thought_has_room_beside_the_answer() -> None:
    plain, thinking = (
        recipe_of(settings(max_tokens=100, reasoning_tokens=tokens)).opening(TINY[2], [])
        for tokens in (0, 400)
    )
    assert plain is not None and thinking is not None
    assert (plain.sampling.max_tokens, thinking.sampling.max_tokens) == (100, 500)


def test_documents_without_entities_are_a_warning(ledger: Ledger) -> None:
    config = settings(pairs=10)
    for document in TINY[:2]:
        texts: list[str | None] = []
        while (call := recipe_of(config).opening(document, texts)) is not None:
            ledger.record([Entry(call, answer(call, "I read it.", Usage(200, 0, 20)))])
            texts.append("I read it.")
    (warning,) = planned(config, ledger).warnings
    assert warning.startswith(f"documents without entities: 2 of {len(TINY)} (")
    assert "steep generate --retry-entities" in warning


def test_ranges_under_a_limit_in_dollars_belong_together(ledger: Ledger) -> None:
    for limit in (0.05, 1.0, 1000.0):
        plan = planned(settings(pairs=10, max_cost_usd=limit), ledger)
        total, (host,) = plan.total, plan.hosts
        assert total.cost_usd is not None
        least = Usage(round(total.prompt_tokens.low), round(total.prompt_tokens.low), 0)
        most = Usage(round(total.prompt_tokens.high), 0, round(total.completion_tokens.high))
        assert (host.prices.cost_usd(least) or 0) <= total.cost_usd.low * 1.01
        assert (host.prices.cost_usd(most) or 0) >= total.cost_usd.high * 0.99
        assert total.cost_usd.high <= limit * 1.001


def test_documents_that_may_exceed_the_context_are_a_warning(ledger: Ledger) -> None:
    long = Document("log", "The Log", "It rained on the lake. " * 40_000)
    unknown = plan_of(settings(pairs=3), [*TINY, long], ledger, None)
    (warning,) = unknown.warnings
    assert warning.startswith(f"1 of {len(TINY) + 1} documents may be too long")
    assert (
        "log. The longest has 920,000 characters" in warning and "documents.split_words" in warning
    )
    hosted = settings(pairs=3, base_url="https://api.openai.com/v1", model="gpt-4o-mini")
    (warning,) = plan_of(hosted, [*TINY, long], ledger, None).warnings
    assert "the context of this model, 128,000 tokens" in warning
    assert "Set documents.split_words to 47962 or less" in warning
