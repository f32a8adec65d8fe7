from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from steep.config import Config
from steep.config_loading import load_config
from steep.core.config import changed_fields
from steep.core.errors import UserError
from steep.recipes.entigraph import EntiGraphOptions

MINIMAL = "documents:\n  path: texts\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "steep.yaml"


def load(path: Path, text: str = MINIMAL, *overrides: str) -> Config:
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def complaint(path: Path, text: str = MINIMAL, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(path, text, *overrides)
    return str(caught.value)


def test_the_defaults_are_the_papers(path: Path) -> None:
    """Yang et al. (ICLR 2025), section 4.1 and appendices D and H."""
    config = load(path)
    assert config.generate.temperature == 1.0
    assert config.generate.recipes == {"entigraph": EntiGraphOptions()}
    train = config.train
    assert (train.context_tokens, train.batch_sequences) == (2048, 16)
    assert (train.learning_rate, train.warmup, train.weight_decay) == (5e-6, 0.05, 0.01)
    assert train.replay_rate == 0.1
    assert set(train.arms) == {"raw", "entigraph"}


def test_a_section_without_keys_is_all_defaults(path: Path) -> None:
    """What is left when a user comments out every line of a section."""
    assert load(path, MINIMAL + "train:\nname:\n") == load(path)
    assert load(path, MINIMAL + "train:\n", "train.tokens=64").train.tokens == 64


def test_paths_belong_to_the_folder_of_the_file(path: Path) -> None:
    text = MINIMAL + "evaluate: {questions: q/a.jsonl}\ntokenize: {replay: general.md}\n"
    config = load(path, text)
    assert config.documents.path == path.parent / "texts"
    assert config.evaluate.questions == path.parent / "q" / "a.jsonl"
    assert config.tokenize.replay == path.parent / "general.md"
    absolute = load(path, MINIMAL, "documents.path=/srv/texts")
    assert absolute.documents.path == Path("/srv/texts")
    assert (absolute.evaluate.questions, absolute.tokenize.replay) == (None, "builtin")


def test_a_relative_file_name_gives_absolute_paths(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(MINIMAL)
    monkeypatch.chdir(path.parent)
    assert load_config(Path("steep.yaml")).documents.path == path.parent.resolve() / "texts"


def test_overrides_win_in_their_order(path: Path) -> None:
    text = MINIMAL + "train: {learning_rate: 0.1, seed: 4}\n"
    config = load(
        path,
        text,
        "train.learning_rate=3e-4",
        "train.tokens=1",
        "train.tokens = 2",
        "train.arms.mixed=[documents, entigraph]",
        "evaluate.questions=q.jsonl",
        "generate.recipes={}",
        "name=second.try",
    )
    assert (config.train.learning_rate, config.train.seed, config.train.tokens) == (3e-4, 4, 2)
    assert config.train.arms == {"mixed": ("documents", "entigraph")}
    assert config.evaluate.questions == path.parent / "q.jsonl"
    assert config.generate.recipes == {}
    assert config.name == "second.try"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.tokens", "An override has no '='."),
        ("documents.path.x=1", "'path' is not a section."),
        ("train.arms=[1", "The value of an override is not valid YAML."),
        ("train.tokns=1", "Unknown key 'tokns'."),
        ("=1", "Unknown key ''."),
    ],
)
def test_a_bad_override_is_named(path: Path, override: str, message: str) -> None:
    said = complaint(path, MINIMAL, override)
    assert said.startswith(message)
    assert override in said or "steep.yaml:" in said


@pytest.mark.parametrize(
    ("text", "place", "meant"),
    [
        (MINIMAL + "generate: {tempereture: 1}\n", "generate.tempereture", "temperature"),
        (MINIMAL + "trian: {}\n", "trian", "train"),
        ("docments:\n  path: texts\n", "docments", "documents"),
    ],
)
def test_a_mistyped_key_is_an_error_with_its_neighbour(
    path: Path, text: str, place: str, meant: str
) -> None:
    said = complaint(path, text)
    assert said.startswith(f"Unknown key '{place.rsplit('.', 1)[-1]}'")
    assert f"{path}:{place}" in said
    assert f"did you mean '{meant}'?" in said


def test_a_key_like_no_other_gets_the_list_of_keys(path: Path) -> None:
    said = complaint(path, MINIMAL + "xyzzy: 1\n")
    assert "did you mean" not in said
    assert (
        "contamination, corpus, documents, evaluate, faithfulness, forgetting, generate, instruct, "
        "name, open_book, questions, remark, scale, summaries, tokenize, train"
    ) in said


@pytest.mark.parametrize(
    ("override", "place", "expected", "found"),
    [
        ("train.tokens=many", "train.tokens", "a whole number", "'many'"),
        ("train.tokens=1.5", "train.tokens", "a whole number", "1.5"),
        ("train.tokens=5%", "train.tokens", "a whole number", "'5%'"),
        ("train.tokens=0", "train.tokens", "at least 1", "0"),
        ("train.warmup=1", "train.warmup", "less than 1", "1"),
        ("train.epochs=.inf", "train.epochs", "a finite number", "inf"),
        ("train.learning_rate=fast", "train.learning_rate", "a number", "'fast'"),
        ("train.arms={raw: documents}", "train.arms.raw", "a list, e.g. [", "'documents'"),
        ("evaluate.methods=answers", "evaluate.methods", "[likelihood, answers]", "'answers'"),
        ("generate.engine=local", "generate.engine", "'openai', 'openai-batch'", "'local'"),
        (
            "generate.recipes.entigraph.pairs=some",
            "generate.recipes.entigraph.pairs",
            "a whole number or 'all'",
            "'some'",
        ),
        (
            "generate.recipes.entigraph.pairs=1:30",
            "generate.recipes.entigraph.pairs",
            "a whole number or 'all'",
            "'1:30'",
        ),
        (
            "generate.recipes.entigraph.triplets=-1",
            "generate.recipes.entigraph.triplets",
            "at least 0",
            "-1",
        ),
        ("tokenize.replay=5", "tokenize.replay", "a path", "5"),
        ("corpus.filters.language=maybe", "corpus.filters.language", "true or false", "'maybe'"),
        ("name=a/b", "name", "letters, digits, dots, hyphens and underscores", "'a/b'"),
        ("documents=texts", "documents", "a section with keys of its own", "'texts'"),
    ],
)
def test_a_bad_value_is_said_with_its_place(
    path: Path, override: str, place: str, expected: str, found: str
) -> None:
    for text, overrides, where in (
        (MINIMAL, [override], f"--set {override}"),
        (_as_yaml(override), [], f"{path}:{place}"),
    ):
        lines = complaint(path, text, *overrides).splitlines()
        assert lines[0] == f"Bad value for '{place}'."
        assert lines[1] == f"  where:    {where}"
        assert expected in lines[2]
        assert "Input should" not in lines[2]
        assert lines[3] == f"  found:    {found}"


def _as_yaml(override: str) -> str:
    """The file that says what an override says."""
    dotted, _, value = override.partition("=")
    section, *keys = dotted.split(".")
    for key in reversed(keys):
        value = f"{{{key}: {value}}}"
    line = f"{section}: {value}"
    return f"{line}\n" if section == "documents" else f"{MINIMAL}{line}\n"


def test_further_mistakes_are_counted_by_key(path: Path) -> None:
    said = complaint(
        path, MINIMAL, "generate.recipes.entigraph.pairs=some", "train.tokens=0", "train.seed=x"
    )
    assert said.startswith("Bad value for 'generate.recipes.entigraph.pairs' (2 more after it).")


def test_what_must_be_there_is_asked_for(path: Path) -> None:
    said = complaint(path, "name: x\n")
    assert "'documents' is missing." in said
    assert complaint(path, "") == said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("documents:\n  path: [texts\n", "line 2"),
        ("a: b: c\n", "line 1"),
        ("\ta: 1\n", "line 1"),
        ("documents: {path: texts}\ngenerate: &own [*own]\n", "line 2"),
        ("generate: " + "[" * 9000, "nested too deep"),
    ],
    ids=["open", "colons", "tab", "alias", "deep"],
)
def test_broken_yaml_is_shown_where_it_breaks(path: Path, text: str, found: str) -> None:
    said = complaint(path, text)
    assert said.startswith("This is not valid YAML.")
    assert str(path) in said
    assert found in said


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    assert complaint(path, "- a\n- b\n").startswith("Expected sections at the top level.")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(path)


def test_a_missing_file_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="steep init") as caught:
        load_config(tmp_path / "steep.yaml")
    assert str(tmp_path / "steep.yaml") in str(caught.value)
    assert "-c FILE" in str(caught.value)


def test_a_missing_file_is_named_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)):
        load_config(Path("steep.yaml"))


def test_a_configuration_cannot_be_changed(path: Path) -> None:
    config = load(path)
    with pytest.raises(ValidationError):
        config.train.seed = 1  # type: ignore[misc]


def test_a_key_that_stands_twice_is_a_mistake(path: Path) -> None:
    path.write_text("documents: {path: d}\ngenerate:\n  pairs: 5\n  seed: 1\n  pairs: 6\n")
    with pytest.raises(UserError, match=r"'pairs' stands here twice, in lines 3 and 5"):
        load_config(path)
    path.write_text("documents: {path: d}\ntrain: {seed: 1}\n\ntrain:\n  tokens: 6\n")
    with pytest.raises(UserError, match=r"'train' .* in lines 2 and 4\n.*merge the two blocks"):
        load_config(path)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e6", 1_000_000),
        ("50M", 50_000_000),
        ("50_000_000", 50_000_000),
        ("'50,000,000'", 50_000_000),
        ("0.3B", 300_000_000),
        ("16 k", 16_000),
        ("010", 10),
    ],
)
def test_whole_numbers_may_be_written_as_people_do(path: Path, written: str, read: int) -> None:
    assert load(path, MINIMAL + f"train: {{tokens: {written}}}\n").train.tokens == read
    assert load(path, MINIMAL, f"train.tokens={written}").train.tokens == read


def test_numbers_may_have_exponents_and_percent_signs(path: Path) -> None:
    text = (
        "train: {learning_rate: 5e-6, warmup: 5%}\ngenerate: {recipes: {entigraph: {pairs: 2k}}}\n"
    )
    config = load(path, MINIMAL + text)
    assert (config.train.learning_rate, config.train.warmup) == (5e-6, 0.05)
    assert config.generate.recipes == {"entigraph": EntiGraphOptions(pairs=2000)}


def test_words_that_yaml_1_1_reads_as_booleans_are_words(path: Path) -> None:
    text = "name: no\ntrain: {model: on, arms: {off: [documents]}}\n"
    text += "corpus: {filters: {language: no}}\n"
    config = load(path, MINIMAL + text)
    assert (config.name, config.train.model, list(config.train.arms)) == ("no", "on", ["off"])
    assert config.corpus.filters.language is False


@pytest.mark.parametrize("value", ["4.1", "true", "2024"])
def test_a_number_where_a_text_is_wanted_is_to_be_quoted(path: Path, value: str) -> None:
    said = complaint(path, MINIMAL + f"generate: {{model: {value}}}\n")
    assert "put it in quotes" in said
    quoted = load(path, MINIMAL + f"generate: {{model: '{value}'}}\n")
    assert quoted.generate.model == value
    assert load(path, MINIMAL, f"generate.model={value}").generate.model == value


def test_home_and_environment_variables_are_filled_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("LLM_HOST", "http://example.org")
    text = "documents: {path: ~/texts}\ngenerate: {base_url: '${LLM_HOST}/v1'}\n"
    config = load(path, text + "evaluate: {questions: $HOME/q.jsonl}\ntrain: {model: ~/llama}\n")
    assert config.documents.path == Path("/home/ada/texts")
    assert config.evaluate.questions == Path("/home/ada/q.jsonl")
    assert config.train.model == "/home/ada/llama"
    assert config.generate.base_url == "http://example.org/v1"
    monkeypatch.delenv("LLM_HOST")
    said = complaint(path, text)
    assert said.startswith("The environment variable 'LLM_HOST' is not set.")
    assert f"{path}:generate.base_url" in said


def test_the_name_of_a_key_is_never_replaced_by_the_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "hidden")
    said = complaint(path, MINIMAL + "generate: {api_key_env: $MY_KEY}\n")
    assert "hidden" not in said
    assert "NAME of an environment variable" in said


def test_a_placeholder_left_in_is_named(path: Path) -> None:
    said = complaint(path, MINIMAL + "generate: {model: '{{ MODEL }}'}\n")
    assert said.startswith("A placeholder was left in 'generate.model'.")
    said = complaint(path, MINIMAL + "generate:\n  model: {{ MODEL }}\n")
    assert said.startswith("This is not valid YAML.")
    assert "placeholder" in said
    assert "in line 4" in said


def test_tabs_and_second_documents_are_told(path: Path) -> None:
    assert "indent with spaces" in complaint(path, "documents:\n\tpath: texts\n")
    said = complaint(path, MINIMAL + "---\nname: other\n")
    assert "remove the line ---" in said


def test_a_file_in_utf_16_is_read(path: Path) -> None:
    path.write_bytes((MINIMAL + "name: Mölln\n").encode("utf-16"))
    assert load_config(path).name == "Mölln"


def test_merges_may_stand_twice(path: Path) -> None:
    text = "generate:\n  seed: 7\n  <<: {concurrency: 4}\n  <<: {max_tokens: 99}\n" + MINIMAL
    generate = load(path, text).generate
    assert (generate.seed, generate.concurrency, generate.max_tokens) == (7, 4, 99)


@pytest.mark.parametrize("arm", ["lr/1e-4", "a\\\\b", "a:b", " a", "", "x" * 101])
def test_a_name_that_no_file_can_have_is_refused(path: Path, arm: str) -> None:
    said = complaint(path, MINIMAL + f'train: {{arms: {{"{arm}": [documents]}}}}\n')
    assert said.startswith("A model cannot have this name")
    assert f"{path}:train.arms" in said
    assert complaint(path, MINIMAL + "name: ..\n").startswith("A run cannot have this name")
    assert load(path, MINIMAL + "train: {arms: {naïve (2nd try): [documents]}}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "generate: {recipes: {}, stop_when: {new_information: 0.2, calls: 50}}\n",
        "generate:\n  recipes: {entigraph: {pairs: 10}, qa: {}}\n  base_url: [a, b]\n",
        "train: {preset: 8b-one-gpu, arms: {raw: [documents]}}\nopen_book: {preset: paper}\n",
        "evaluate:\n  servers: {big: {base_url: 'http://h/v1', model: m}}\n",
    ],
)
def test_the_settings_that_differ_from_the_defaults_give_the_configuration_again(
    path: Path, text: str
) -> None:
    config = load(path, MINIMAL + text)
    changed = changed_fields(config)
    assert changed["documents"] == {"path": str(path.parent / "texts")}
    assert load(path, yaml.safe_dump(changed)) == config
    assert {*changed} == {"documents", *yaml.safe_load(text or "{}")}
