"""One page of the Hub's list of models. The client's own listing tries a failing server for up to 23 s a request before
it says so; for what a run can do without, the retries of :class:`graph.research.hubclient.HubClient` are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

TIMEOUT_S = 10.0


def list_models(api: HfApi, filters: Sequence[str], expand: Sequence[str], limit: int) -> list[ModelInfo]:
    """The most downloaded models with all of the tags ``filters``. Raises what the client raises; an answer that is no
    list of models is an empty one."""
    from huggingface_hub import get_session
    from huggingface_hub.hf_api import ModelInfo
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    answer = get_session().get(
        f"{api.endpoint}/api/models",
        params={"filter": list(filters), "expand": list(expand), "sort": "downloads", "limit": limit},
        headers=build_hf_headers(token=api.token, library_name="ml-intern-for-teams"),
        timeout=TIMEOUT_S,
    )
    hf_raise_for_status(answer)
    try:
        items = answer.json()
    except ValueError:
        return []
    found = [item for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)]
    return [ModelInfo(**item) for item in found]  # type: ignore[no-untyped-call]
