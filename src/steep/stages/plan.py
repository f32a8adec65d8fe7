"""`steep plan`: calls, tokens, dollars and hours before anything is spent."""

from __future__ import annotations

from steep.config import Config
from steep.core.artifacts import Project
from steep.generation.planning import Plan, check_plannable, plan_of
from steep.generation.probe import make_calls
from steep.generation.setup import chosen_documents
from steep.ledger.ledger import Ledger, open_ledger
from steep.stages import documents as documents_stage


def make_plan(config: Config, project: Project, rate: float | None = None) -> Plan:
    """Plan what is to do, without spending or writing anything.

    Args:
        config: The configuration.
        project: Where the ledger is, if there is one.
        rate: Tokens of text per second that the generator is expected to write.

    Raises:
        UserError: There is no recipe, or a limit in dollars and no price.
    """
    documents = chosen_documents(config.generate, documents_stage.peek(config, project))
    check_plannable(config.generate, documents)
    with open_ledger(project) as ledger:
        return plan_of(config.generate, documents, ledger, rate, project.root)


def probe(config: Config, project: Project, number: int) -> None:
    """Make a few calls about some documents, so that a plan for all is good.

    Raises:
        UserError: The generator cannot be used, or there is no price for a limit in dollars.
    """
    artifact = documents_stage.run(config, project)
    documents = chosen_documents(config.generate, documents_stage.load(artifact))
    check_plannable(config.generate, documents)
    with Ledger(project.ledger_path) as ledger:
        make_calls(config.generate, documents, ledger, number, project.root)
