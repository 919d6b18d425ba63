"""The function behind the tool `find_article`: arguments come by name, the result goes out."""

ARTICLES = (
    "Expenses: send the receipt within 30 days; anything above 200 USD needs your lead's yes.",
    "Holidays: enter them in the calendar two weeks ahead and tell your team.",
    "Laptops: a broken one is replaced the same day; ask at the front desk.",
)


def find_article(word: str) -> dict[str, list[str]]:
    """Every article that mentions the word."""
    return {"articles": [text for text in ARTICLES if word.lower() in text.lower()]}
