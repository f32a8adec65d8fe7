"""Upload an export to the Hugging Face Hub, when the user asks for it and never otherwise.

A new repository is private. One that exists keeps its visibility, and a public one is only written
when that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from steep.core.errors import UserError

TOKEN = "HF_TOKEN"  # the environment variable with the token; no file is read
RepositoryKind = Literal["dataset", "model"]
_NOUNS = {"dataset": "data set", "model": "model"}
_PLACES = {"dataset": "datasets/", "model": ""}  # before the name in an address


@dataclass(frozen=True, slots=True)
class UploadedExport:
    """The address of an uploaded export, and whether only its owner can read it."""

    url: str
    is_private: bool


def check_upload(repository: str) -> str:
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
            expected="a token that may write repositories",
            found="not set",
            hint="create one at https://huggingface.co/settings/tokens",
        )
    return token


def upload(
    directory: Path,
    repository: str,
    kind: RepositoryKind,
    files: Sequence[str],
    *,
    public: bool = False,
) -> UploadedExport:
    """Upload an exported directory; files of an earlier upload are replaced.

    Args:
        directory: What an export has written.
        repository: `owner/name`.
        kind: What the repository is.
        files: Names or patterns of the files that are uploaded, and deleted there if they are
            gone here. All others stay as they are, here and there.
        public: Whether a public repository may be written.

    Raises:
        UserError: There is no token, no network, no right to write, or the repository is public
            and `public` is not set.
    """
    token = check_upload(repository)
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise UserError(
            "Uploading needs huggingface_hub.", found=error, hint="pip install huggingface_hub"
        ) from error
    # OSError and all errors of the HTTP library, which depends on the version of huggingface_hub.
    failures = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    api = HfApi(token=token, endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        is_private = _opened(api, repository, kind, public)
        api.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=directory,
            allow_patterns=list(files),
            delete_patterns=list(files),
            commit_message="Update the export",
        )
    except failures as error:
        raise UserError(
            "The upload to the Hugging Face Hub failed.",
            where=f"{api.endpoint}, {_NOUNS[kind]} {repository}",
            found=str(error).strip().splitlines()[0] if str(error).strip() else repr(error),
            hint="check the network and the rights of the token; the export itself is written, "
            "and the same command uploads it again",
        ) from error
    return UploadedExport(f"{api.endpoint}/{_PLACES[kind]}{repository}", is_private)


def _opened(api: Any, repository: str, kind: RepositoryKind, public: bool) -> bool:
    """Create the repository if there is none, and return whether it is private.

    Raises:
        UserError: It is public and `public` is not set.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        is_private = bool(api.repo_info(repository, repo_type=kind).private)
    except RepositoryNotFoundError:
        api.create_repo(repository, repo_type=kind, private=not public)
        is_private = not public
    if not is_private and not public:
        raise UserError(
            "This repository is public; nothing was uploaded.",
            where=f"--push {repository}",
            expected="a private repository, or a new one",
            hint="add --public if everybody may read it",
        )
    return is_private
