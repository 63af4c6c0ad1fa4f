"""Budgets and prices: what they accept, and what they decide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

import luma_async
from luma_async import (
    Budget,
    BudgetExceeded,
    BudgetStatus,
    ConfigurationError,
    ExtendRequest,
    ImageRequest,
    InvalidInput,
    Spent,
    UpscaleRequest,
    VideoRequest,
)
from luma_async.prices import example
from luma_async.values.budget import check_budgets, price_of, row_of

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "purchases"),
        ({"per": "day"}, "purchases"),
        ({"purchases": -1}, "purchases"),
        ({"purchases": True}, "purchases"),
        ({"purchases": 1.5}, "purchases"),
        ({"purchases": 1, "per": "week"}, "per"),
        ({"purchases": 1, "per": []}, "per"),
        ({"amount": "ten"}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": float("nan")}, "amount"),
        ({"amount": [1]}, "amount"),
        ({"amount": True}, "amount"),
        ({"purchases": 1, "price": "0.15"}, "price"),
        ({"purchases": 1, "price": {"default": -1}}, "price"),
        ({"purchases": 1, "price": {1: 1}}, "price"),
    ],
)
def test_invalid_budget_refused(arguments, field):
    """A budget without a limit, or with a wrong value, is refused by the name of the field."""
    with pytest.raises(InvalidInput) as caught:
        Budget(**arguments)
    assert caught.value.field == field


def test_float_amount_as_shown():
    """A float means the decimal number that it shows, so that three times 0.1 is exactly 0.3."""
    budget = Budget(amount=0.3, price={"default": 0.1})
    price = price_of(VideoRequest("cat"), budget.price)
    assert budget.allows(Spent(purchases=2, amount=2 * price), amount=price)
    assert budget.amount == Decimal("0.3")


@pytest.mark.parametrize(
    ("budget", "spent", "allowed"),
    [
        (Budget(purchases=3), Spent(purchases=2), True),
        (Budget(purchases=3), Spent(purchases=3), False),
        (Budget(purchases=0), Spent(), False),
        (Budget(amount=3), Spent(amount=Decimal(2)), True),
        (Budget(amount=3), Spent(amount=Decimal("2.01")), False),
        (Budget(purchases=3, amount=3), Spent(purchases=3), False),
        (Budget(purchases=3, amount=3), Spent(amount=Decimal(3)), False),
    ],
)
def test_budget_room(budget, spent, allowed):
    """A purchase of 1 is allowed up to the limit, and each limit of a budget counts."""
    assert budget.allows(spent, amount=Decimal(1)) is allowed
    assert BudgetStatus(budget=budget, spent=spent).allows(1, 1) is allowed


def test_budget_left():
    """What is left is never less than nothing; a limit that is not set has no rest."""
    status = BudgetStatus(budget=Budget(purchases=3), spent=Spent(purchases=4, amount=Decimal(9)))
    assert (status.purchases_left, status.amount_left) == (0, None)
    status = BudgetStatus(budget=Budget(amount=10), spent=Spent(purchases=4, amount=Decimal("9.50")))
    assert (status.purchases_left, status.amount_left) == (None, Decimal("0.50"))


@pytest.mark.parametrize(
    ("per", "days"), [("hour", 1 / 24), ("day", 1), ("month", 30), ("session", None), (None, None)]
)
def test_budget_span(per, days):
    """The time is a span that ends now; in all and in the session everything counts."""
    since = Budget(purchases=1, per=per).since(NOW)
    assert since == (None if days is None else NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("request_", "row"),
    [
        (VideoRequest("cat"), "default"),
        (VideoRequest("cat", model="ray-3.2", resolution="720p", duration="5s"), "ray-3.2 720p 5s"),
        (VideoRequest("cat", duration="5s"), "5s"),
        (VideoRequest("cat", model="ray-3.2", hdr=True, exr_export=True), "ray-3.2 hdr exr"),
        (VideoRequest("cat", model="ray-3.2", hdr=False), "ray-3.2"),
        (ExtendRequest("gen-1", "cat", model="ray-2"), "extend ray-2"),
        (ImageRequest("cat", model="photon-1"), "image photon-1"),
        (UpscaleRequest("gen-1"), "upscale"),
    ],
)
def test_price_row(request_, row):
    """The row of a request is what it says about operation, model, resolution and duration."""
    assert row_of(request_) == row
    assert price_of(request_, {row: "0.15"}) == Decimal("0.15")


def test_price_row_missing():
    """A request without a row in the prices is refused by the name of the row."""
    with pytest.raises(ConfigurationError, match="no row 'ray-2 5s'"):
        price_of(VideoRequest("cat", model="ray-2", duration="5s"), example)


@pytest.mark.parametrize("returned", [None, -1, float("inf"), "much", True])
def test_price_function_wrong(returned):
    """A price function that returns no price is refused."""
    with pytest.raises(ConfigurationError, match="price function returned"):
        price_of(VideoRequest("cat"), lambda _: returned)


def test_price_function_raises():
    """A price function that raises is refused, and its error is in the message."""

    def fails(_):
        raise KeyError("ray-9")

    with pytest.raises(ConfigurationError, match="price function raised KeyError: 'ray-9'"):
        price_of(VideoRequest("cat"), fails)
    assert price_of(VideoRequest("cat"), lambda _: 0.1) == Decimal("0.1")


def test_price_example():
    """The example has a price for each resolution, duration and effect, and is not a public name of the package."""
    assert len(example) == 24
    assert example["ray-3.2 540p 10s hdr"] == Decimal("0.90")
    assert "prices" not in luma_async.__all__


def test_session_budgets_checked():
    """A session takes a budget, several or none; an amount needs prices, and all budgets share them."""
    day, month = Budget(purchases=1, per="day"), Budget(amount=9, per="month")
    priced = Budget(purchases=1, price={"default": 1})
    assert check_budgets(None) == ()
    assert check_budgets(day) == (day,)
    assert check_budgets([month, priced, Budget(amount=1, price={"default": 1})])[:2] == (month, priced)
    for wrong in (5, ["day"], Budget, [month], [priced, Budget(purchases=1, price={"default": 2})]):
        with pytest.raises(ConfigurationError):
            check_budgets(wrong)


def test_budget_exceeded_text():
    """The error says the limit, what is spent, that nothing was sent, and when there is room."""
    budget = Budget(purchases=1, amount="0.50", per="day")
    spent = Spent(purchases=1, amount=Decimal("0.15"))
    error = BudgetExceeded(budget=budget, spent=spent, price=Decimal("0.45"), room_at=NOW)
    assert str(error) == (
        "The budget of 1 purchase and an amount of 0.50 per day has no room: 1 purchase for 0.15 so far, what is in "
        "doubt included. This purchase costs 0.45. Nothing was sent or charged. "
        "There is room for it at 2025-01-02 03:04:05 UTC."
    )


def test_budget_exceeded_without_room():
    """Where waiting makes no room, the error says that the budget has to be raised."""
    error = BudgetExceeded(budget=Budget(purchases=2), spent=Spent(purchases=2))
    assert "2 purchases in all has no room: 2 purchases so far" in str(error)
    assert str(error).endswith("raise the budget to go on.")
    assert "per session" in str(Budget(purchases=2, per="session"))
    assert str(Budget(amount=2)) == "an amount of 2 in all"


def test_spent_sums():
    """Taking a purchase away undoes adding it, with a price and without one."""
    for price in (None, Decimal("0.15")):
        assert Spent().plus(price).minus(price) == Spent()
