"""What the kernel expects of every translator, and what this one states as facts."""

import re

from omniroute.testing import check_translator
from omniroute_translator_openai_responses import OpenAIResponses, register_translators

TRANSLATOR = OpenAIResponses()


def test_the_kernel_can_work_with_it():
    check_translator(OpenAIResponses(now=lambda: 1_700_000_000.0, new_id=lambda: "fresh"))


def test_it_is_registered_once():
    assert [type(translator) for translator in register_translators()] == [OpenAIResponses]


def test_clients_call_it_with_and_without_a_version():
    assert [(entry.method, entry.path) for entry in TRANSLATOR.ingress] == [
        ("POST", "/v1/responses"),
        ("POST", "/responses"),
    ]


def test_it_leaves_the_model_list_without_a_mark_to_its_sister():
    assert (TRANSLATOR.models_header, TRANSLATOR.is_default_form) == (None, False)


def test_what_only_its_maker_can_read_is_found_in_bodies_and_streams():
    found = re.compile(TRANSLATOR.opaque_pattern)
    assert found.findall(b'{"encrypted_content":"c2Vh+/=","x":{"encrypted_content" : "b"}}') == [b"c2Vh+/=", b"b"]
    assert not found.findall(b'{"encrypted_content":null,"text":"\\"encrypted_content\\":\\"x\\""}')


def test_fresh_ids_differ():
    ids = {OpenAIResponses()._new_id() for _ in range(50)}
    assert len(ids) == 50
