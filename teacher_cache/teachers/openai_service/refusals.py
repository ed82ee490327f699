"""What a status other than 200 means: for the request, for its row, or for all."""

import re
from collections.abc import Mapping
from typing import Any

from schemas.errors import TeacherError
from teacher_cache.teachers.openai_service.address import Address, Key
from teacher_cache.teachers.openai_service.dialect import refused_parameter
from teacher_cache.teachers.openai_service.faults import (
    RefusedParameterError,
    RequestError,
    RowError,
    TransientError,
    words_of,
)
from teacher_cache.teachers.openai_service.pace import retry_after

_TRANSIENT = {408, 409, 425, 429}
_OUT_OF_MONEY = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.IGNORECASE)
# Gateways refuse what a row says with the status of a refused key.
_OF_CONTENT = re.compile(r"moderation|flagged|content[ _]polic|content[ _]filter", re.IGNORECASE)


def refusal_of(
    status: int,
    headers: Mapping[str, str],
    body: object,
    *,
    sent: Mapping[str, Any],
    address: Address,
    key: Key,
) -> RequestError | TeacherError:
    """The exception that a refusal is.

    Args:
        status: of the answer.
        headers: of the answer.
        body: of the answer, as far as it could be read.
        sent: the request.
        address: of the service.
        key: that was sent; nothing of it gets into the message.
    """
    said = key.scrub(words_of(body))
    words = f"{status}: {said}" if said else str(status)
    if status in (402, 429) and (status == 402 or _OUT_OF_MONEY.search(str(body))):
        return TeacherError(
            f"{address.host} wants to be paid ({words}); mend that, then run the same command"
        )
    if status in (401, 403) and not _OF_CONTENT.search(said):
        return TeacherError(
            f"{address.host} refused the key in {key.variable} ({words}); set a valid one, then run "
            "the same command"
        )
    if status in _TRANSIENT or status >= 500:
        return TransientError(words, retry_after(headers))
    if status == 404:
        return TeacherError(
            f"{address.host} does not have what was asked for ({words}); see to the model's name and to "
            "--base-url, which mostly ends in /v1"
        )
    if name := refused_parameter(sent, _error_object(body), said):
        return RefusedParameterError(name, words)
    return RowError(f"the service refused the row ({words})")


def _error_object(body: object) -> Mapping[str, Any]:
    error = body.get("error", body) if isinstance(body, dict) else {}
    return error if isinstance(error, dict) else {}
