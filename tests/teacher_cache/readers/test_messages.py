"""`messages` lines: turns, pictures among their parts, the reference answer at their end."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from schemas.errors import SourceError
from schemas.example import Label, Media, Message
from teacher_cache.readers.reading import Reading

Read = Callable[..., Reading]
NAME = "talk.jsonl"
ASK = {"role": "user", "content": "2 + 2?"}
REPLY = {"role": "assistant", "content": "4"}
BYTES = b"not yet looked at"
URI = "data:image/png;base64," + base64.b64encode(BYTES).decode()


def parts(*content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_one_turn_of_the_user_is_a_prompt(read: Read) -> None:
    (example,) = read(NAME, {"messages": [ASK]}).examples

    assert (example.id, example.prompt, example.messages) == ("row-000001", "2 + 2?", ())


def test_a_last_turn_of_the_assistant_is_the_answer_and_never_asked(read: Read) -> None:
    (example,) = read(NAME, {"messages": [ASK, REPLY]}).examples

    assert (example.prompt, example.messages) == ("2 + 2?", ())
    assert example.label == Label(target_text="4")


def test_of_a_task_with_classes_the_answer_is_a_class(read: Read) -> None:
    line = {"fields": {"text": "Fine."}, "messages": [ASK, REPLY | {"content": "positive"}]}
    (example,) = read(NAME, line, task="movie-sentiment").examples

    assert example.label == Label(class_ids=(1,))


def test_several_turns_are_a_conversation_and_its_text(read: Read) -> None:
    turns = [{"role": "developer", "content": "Be brief."}, ASK, REPLY, {"role": "user", "content": "Sure?"}]
    (example,) = read(NAME, {"id": "x", "messages": turns}).examples

    assert example.id == "x"
    assert [(turn.role, turn.content) for turn in example.messages] == [
        ("system", "Be brief."),
        ("user", "2 + 2?"),
        ("assistant", "4"),
        ("user", "Sure?"),
    ]
    assert example.prompt == (
        '[{"role":"system","content":"Be brief."},{"role":"user","content":"2 + 2?"},'
        '{"role":"assistant","content":"4"},{"role":"user","content":"Sure?"}]'
    )
    assert example.label == Label()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "a/b.png", "detail": "auto"}},
        {"type": "image_url", "image_url": "a/b.png"},
        {"type": "input_image", "image_url": "a/b.png"},
        {"type": "image", "image": "a/b.png"},
        {"type": "image", "path": "a/b.png"},
        {"type": "image", "url": "a/b.png"},
    ],
)
def test_the_ways_to_name_a_picture(read: Read, part: dict[str, Any]) -> None:
    (example,) = read(NAME, parts(part, text("What is it?"))).examples

    assert (example.prompt, example.media) == ("What is it?", (Media("a/b.png", ""),))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URI}},
        {"type": "image", "base64": base64.b64encode(BYTES).decode()},
        {"type": "image", "image": "data:image/png,not%20yet%20looked%20at"},
    ],
)
def test_a_data_uri_is_kept_beside_the_examples(read: Read, part: dict[str, Any]) -> None:
    reading = read(NAME, parts(part, text("What is it?")))

    (media,) = reading.examples[0].media
    assert media.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert media.path in (f"inline/{media.sha256}.png", f"inline/{media.sha256}.bin")
    assert reading.inline == {media.sha256: BYTES}


def test_files_of_the_folder_lose_their_way_to_it(read: Read, tmp_path: Any) -> None:
    urls = [str(tmp_path / "a b.png"), (tmp_path / "a b.png").as_uri(), "https://example.org/x.png"]
    reading = read(NAME, parts(*({"type": "image", "url": url} for url in urls)))

    assert [item.path for item in reading.examples[0].media] == ["a b.png", "a b.png", urls[2]]


def test_each_turn_has_its_own_pictures(read: Read) -> None:
    picture = {"type": "image", "path": "b.png"}
    turns = [
        {"role": "user", "content": [text("Look:"), {"type": "image", "path": "a.png"}]},
        REPLY,
        {"role": "user", "content": [picture, picture, text("And"), text("these?")]},
    ]
    (example,) = read(NAME, {"messages": turns}).examples

    assert example.messages[0] == Message("user", "Look:", 1)
    assert example.messages[2] == Message("user", "And\nthese?", 2)
    assert [item.path for item in example.media] == ["a.png", "b.png", "b.png"]
    assert example.prompt is not None
    assert '"num_media":2' in example.prompt


def test_pictures_beside_the_messages_stand_where_a_part_says(read: Read) -> None:
    (example,) = read(NAME, parts({"type": "image"}, text("?")) | {"images": ["a.png"]}).examples

    assert example.media == (Media("a.png", ""),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"messages": []}, r"neither fields nor prompt nor messages"),
        ({"messages": None}, r"neither fields nor prompt nor messages"),
        ({"prompt": "?"}, r"messages: Field required"),
        ({"messages": [{"role": "system", "content": "x"}, REPLY]}, r"no message of the user stands last"),
        ({"messages": [REPLY]}, r"no message of the user stands last"),
        ({"messages": [{"role": "user", "content": " "}]}, r"the last message of the user is blank"),
        ({"messages": [{"role": "judge", "content": "x"}]}, r"messages.0.role: Input should be 'system'"),
        (
            {"messages": [ASK, {"role": "tool", "content": "x"}]},
            r"messages.1: tool calls are not supported; mend",
        ),
        (
            {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, ASK]},
            r"messages.1: tool calls are not supported; mend the line",
        ),
        ({"messages": [1]}, r"messages.0: Input should be an object; mend the line"),
        (
            '{"messages": [], "messages": []}',
            r"Invalid JSON: the key 'messages' stands twice in one object; mend",
        ),
        ({"messages": [{"role": "user", "content": "a\0"}]}, r"a NUL character, which no text has"),
        (
            {"messages": [{"role": "system", "content": "a\0"}, ASK]},
            r"a NUL character, which no text has; take it out",
        ),
        ({"messages": [{"role": "user"}]}, r"messages.0.content: Field required"),
        (
            {"messages": [{"role": "user", "content": 1}]},
            r"messages.0.content: Input should be a valid string",
        ),
        ({"messages": [ASK | {"tool_calls": []}]}, r"messages.0.tool_calls: Extra inputs"),
        ({"messages": [ASK, REPLY], "label": "4"}, r"label and the last message .* keep one of them"),
        (parts({"type": "input_audio"}), r"a part of type 'input_audio'; text, image_url and image are what"),
        (parts({"text": "x"}), r"a part of type 'None'"),
        (parts({"type": "text"}), r"a text part has other keys"),
        (parts({"type": "image_url"}), r"a part of type image_url without one path, URL or data URI"),
        (parts({"type": "image", "path": "a", "url": "b"}), r"a part of type image without one path"),
        (parts({"type": "image", "path": 1}), r"a part of type image without one path"),
        (
            parts({"type": "image_url", "image_url": {"url": "a", "detail": "low"}}),
            r"a picture with a detail other than auto",
        ),
        (parts({"type": "image"}), r'a part {"type": "image"} without a path, and media names no file'),
        (parts(text("?")) | {"media": ["a.png"]}, r"media has more files than the messages have parts"),
        (parts(text("a"), {"type": "image", "path": "a"}, text("b")), r"a picture stands between texts"),
        (
            {"messages": [ASK, REPLY | {"content": [{"type": "image", "path": "a"}]}]},
            r"the last message of the assistant has a picture",
        ),
    ],
)
def test_a_wrong_line_is_named(read: Read, line: object, message: str) -> None:
    with pytest.raises(SourceError, match=r"talk.jsonl, line 2: " + message) as raised:
        read(NAME, {"messages": [ASK]}, line)
    assert "\n" not in str(raised.value)


def test_an_id_from_the_position_may_not_meet_a_given_one(read: Read) -> None:
    with pytest.raises(SourceError, match=r"line 2: example_id row-000002 stands in line 1 too"):
        read(NAME, {"id": "row-000002", "messages": [ASK]}, {"messages": [ASK]})
