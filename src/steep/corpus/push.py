"""Upload an exported corpus to the Hugging Face Hub, when the user asks for it and never otherwise.

A new repository is private. One that exists keeps its visibility, and a public one is only written
when that was asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from steep.core.errors import UserError

TOKEN = "HF_TOKEN"  # the environment variable with the token; no file is read
UPLOADED = ["README.md", "documents.jsonl", "steep-corpus.json", "data/*"]


@dataclass(frozen=True, slots=True)
class PushedCorpus:
    """The address of an uploaded data set, and whether only its owner can read it."""

    url: str
    is_private: bool


def check_push(repository: str) -> str:
    """Return the token for an upload, before anything is written.

    Raises:
        UserError: The name is not `owner/name`, or there is no token in the environment.
    """
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise UserError(
            "This is not the name of a repository.",
            where="--push",
            expected="owner/name",
            found=repository,
        )
    if not (token := os.environ.get(TOKEN, "")):
        raise UserError(
            "There is no token of the Hugging Face Hub; nothing was uploaded.",
            where=f"environment variable {TOKEN}",
            expected="a token that may write data sets",
            found="not set",
            hint="create one at https://huggingface.co/settings/tokens",
        )
    return token


def push_corpus(directory: Path, repository: str, *, public: bool = False) -> PushedCorpus:
    """Upload an exported directory as a data set; files of an earlier upload are replaced.

    Raises:
        UserError: There is no token, no network, no right to write, or the repository is public
            and `public` is not set.
    """
    token = check_push(repository)
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
    except ImportError as error:
        raise UserError(
            "Uploading needs huggingface_hub.", found=error, hint="pip install huggingface_hub"
        ) from error
    # OSError and all errors of the HTTP library, which depends on the version of huggingface_hub.
    failures = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    api = HfApi(token=token, endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        try:
            is_private = bool(api.dataset_info(repository).private)
        except RepositoryNotFoundError:
            api.create_repo(repository, repo_type="dataset", private=not public)
            is_private = not public
        if not is_private and not public:
            raise UserError(
                "This repository is public; nothing was uploaded.",
                where=f"--push {repository}",
                expected="a private repository, or a new one",
                hint="add --public if everybody may read the texts",
            )
        api.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=directory,
            allow_patterns=UPLOADED,
            delete_patterns=UPLOADED,
            commit_message="Update the corpus",
        )
    except failures as error:
        raise UserError(
            "The upload to the Hugging Face Hub failed.",
            where=f"{api.endpoint}, data set {repository}",
            found=str(error).strip().splitlines()[0] if str(error).strip() else repr(error),
            hint="check the network and the rights of the token; the export itself is written, "
            "and the same command uploads it again",
        ) from error
    return PushedCorpus(f"{api.endpoint}/datasets/{repository}", is_private)
