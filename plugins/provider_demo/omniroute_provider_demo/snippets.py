"""The code that `demo/coder` knows by heart: the word that asks for it, what it is called, the code."""

import msgspec

__all__ = ["SNIPPETS", "Snippet"]


class Snippet(msgspec.Struct, frozen=True):
    word: str
    title: str
    code: str


SNIPPETS = (
    Snippet(
        "fizzbuzz",
        "FizzBuzz",
        '''\
def fizzbuzz(limit: int) -> list[str]:
    """1 to `limit`, with Fizz for threes, Buzz for fives and both for both."""
    return ["Fizz" * (n % 3 == 0) + "Buzz" * (n % 5 == 0) or str(n) for n in range(1, limit + 1)]
''',
    ),
    Snippet(
        "fibonacci",
        "the Fibonacci numbers",
        """\
from collections.abc import Iterator


def fibonacci() -> Iterator[int]:
    previous, current = 0, 1
    while True:
        yield previous
        previous, current = current, previous + current
""",
    ),
    Snippet(
        "prime",
        "a prime test",
        """\
def is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, int(number**0.5) + 1))
""",
    ),
    Snippet(
        "reverse",
        "a string turned round",
        """\
def reverse(text: str) -> str:
    return text[::-1]
""",
    ),
    Snippet(
        "count",
        "a word count",
        """\
from collections import Counter


def count_words(text: str) -> Counter[str]:
    return Counter(text.lower().split())
""",
    ),
)
