import pytest

from omniroute.model import ChatRequest, ImagePart, Message, TextPart
from omniroute.system_text import as_user_text


def said(role, *texts):
    return Message(role=role, parts=tuple(TextPart(text=text) for text in texts))


PICTURE = Message(role="user", parts=(ImagePart(url="https://pictures.example/1.png"), TextPart(text="what is it?")))


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        pytest.param(
            (said("system", "Be brief."), said("user", "hi")),
            (said("user", "[System Instructions]\nBe brief.", "[User Message]\n", "hi"),),
            id="one text",
        ),
        pytest.param(
            (
                said("system", "A", "B"),
                said("user", "hi"),
                said("assistant", "ho"),
                said("developer", "C"),
                said("user", "?"),
            ),
            (
                said("user", "[System Instructions]\nA\n\nB\n\nC", "[User Message]\n", "hi"),
                said("assistant", "ho"),
                said("user", "?"),
            ),
            id="several, also later ones and the developer's",
        ),
        pytest.param((said("system", "A"),), (said("user", "[System Instructions]\nA"),), id="nothing else"),
        pytest.param(
            (said("system", "A"), PICTURE),
            (
                Message(
                    role="user",
                    parts=(
                        TextPart(text="[System Instructions]\nA"),
                        TextPart(text="[User Message]\n"),
                        *PICTURE.parts,
                    ),
                ),
            ),
            id="before a picture",
        ),
        pytest.param((said("system", ""), said("user", "hi")), (said("user", "hi"),), id="an empty one goes"),
    ],
)
def test_system_text_opens_the_users_first_turn(messages, sent):
    changed = as_user_text(ChatRequest(model="m", messages=messages))
    assert changed.messages == sent
    assert [loss.kind for loss in changed.losses] == ["approximated"]
    assert as_user_text(changed) is changed


def test_a_request_without_system_text_is_the_very_same():
    request = ChatRequest(model="m", messages=(said("user", "hi"), said("assistant", "ho")))
    assert as_user_text(request) is request
