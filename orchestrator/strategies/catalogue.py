"""Finding and explaining strategies by what a user types: a preset's name or a file, settings, limits."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from orchestrator.market.units import PRICE_SCALE, price_units
from orchestrator.strategies.black_scholes import SECONDS_PER_YEAR, Model
from orchestrator.strategies.document import load_strategy
from orchestrator.strategies.errors import PresetError
from orchestrator.strategies.model import Leg, Strategy
from orchestrator.strategies.parameters import describe
from orchestrator.strategies.payoff import Holding, payoff, premium, profile
from orchestrator.strategies.presets import PRESETS, build
from orchestrator.topology.plan import MarketPlan


def list_presets() -> list[dict[str, Any]]:
    """Every preset with its summary and what each parameter means."""
    return [
        {
            "name": preset.name,
            "summary": preset.summary,
            "parameters": {
                name: dict(zip(("meaning", "default"), describe(name, preset.defaults), strict=True))
                for name in preset.parameters
            },
        }
        for preset in PRESETS.values()
    ]


def find_strategy(
    wanted: str, market: MarketPlan, settings: Sequence[str], limits: Sequence[str]
) -> Strategy:
    """The strategy that a user means.

    Args:
        wanted: a preset's name (``-`` for ``_`` is fine) or a path of a strategy file.
        market: what is listed.
        settings: ``NAME=VALUE`` for a preset's parameters.
        limits: ``LEG=PRICE`` in USD, legs counted from 0.

    Raises:
        PresetError: neither a preset nor a file, or a setting or limit that makes no sense.
        StrategyError: the file is wrong, with all its problems.
    """
    name = wanted.replace("-", "_")
    if name in PRESETS:
        strategy = build(name, market, **dict(_pair(setting, "NAME=VALUE") for setting in settings))
    elif Path(wanted).exists() or wanted.endswith((".yaml", ".yml")):
        if settings:
            raise PresetError("a strategy file takes no --set", "edit the file, or choose a preset")
        strategy = load_strategy(Path(wanted), market)
    else:
        near = get_close_matches(name, PRESETS, n=1)
        raise PresetError(
            f"{wanted!r} is neither a preset nor a file",
            f"did you mean {near[0]}?" if near else f"presets: {', '.join(PRESETS)}",
        )
    return _limited(strategy, limits)


def describe_strategy(strategy: Strategy, market: MarketPlan, prices: Sequence[int] = ()) -> dict[str, Any]:
    """Legs at model prices, and what the whole can win and lose; cash in 1e-6 USD.

    Args:
        strategy: what to explain.
        market: whose prices to use.
        prices: settlement prices for the pay-off table, 1e-6 USD; none means strikes, spot and cap.
    """
    model = Model(market.spot, market.volatility, market.rate, market.price_cap)
    model_prices = [
        round(model.price(leg.kind, leg.strike / PRICE_SCALE, _years(leg, market)) * PRICE_SCALE)
        for leg in strategy.legs
    ]
    paid = sum(
        premium(price, leg.signed_quantity) for price, leg in zip(model_prices, strategy.legs, strict=True)
    )
    holdings = [
        Holding(leg.kind, leg.strike, leg.signed_quantity, round(leg.expiry_s or max(market.expiries_s)))
        for leg in strategy.legs
    ]
    cap = price_units(market.price_cap)
    known = profile(holdings, paid, cap)
    table = sorted(set(prices) or {0, *(leg.strike for leg in strategy.legs), price_units(market.spot), cap})
    return {
        "name": strategy.name,
        "summary": strategy.summary,
        "legs": [
            {
                "rollup": leg.rollup,
                "side": leg.side.value,
                "kind": leg.kind.value,
                "underlying": leg.underlying,
                "strike": leg.strike,
                "quantity": leg.quantity,
                "expiry_s": leg.expiry_s or max(market.expiries_s),
                "limit": leg.limit,
                "model_price": price,
            }
            for leg, price in zip(strategy.legs, model_prices, strict=True)
        ],
        "net_premium": known.net_premium,
        "max_loss": known.max_loss,
        "max_gain": known.max_gain,
        "break_evens": list(known.break_evens),
        "payoffs": [{"price": price, "payoff": payoff(holdings, price, cap)} for price in table],
    }


def _years(leg: Leg, market: MarketPlan) -> float:
    return (leg.expiry_s or max(market.expiries_s)) / SECONDS_PER_YEAR


def _limited(strategy: Strategy, limits: Sequence[str]) -> Strategy:
    legs = list(strategy.legs)
    for text in limits:
        index, price = _pair(text, "LEG=PRICE")
        try:
            place, limit = int(index), price_units(float(price))
        except (ValueError, ArithmeticError) as exc:
            raise PresetError(f"--limit {text}: not LEG=PRICE", "such as --limit 2=0.01") from exc
        if not 0 <= place < len(legs):
            raise PresetError(
                f"--limit {text}: {strategy.name} has legs 0 to {len(legs) - 1}", "count legs from 0"
            )
        legs[place] = replace(legs[place], limit=limit)
    return replace(strategy, legs=tuple(legs))


def _pair(text: str, shape: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise PresetError(f"{text!r} is not {shape}", "write it like quantity=2")
    return key.strip(), value.strip()
