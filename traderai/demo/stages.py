"""The demo's stages in order, each with a progress bar; a stage whose result is already there costs nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import call_command
from rich.progress import Progress

from accounts.models import User
from backtesting import runs
from backtesting.models import BacktestRun
from exchanges import paper_accounts
from exchanges.models import JobStatus, Provenance
from signals import autotrade, registry, scan, training
from signals.models import ModelVersion, StrategyConfig
from traderai.demo import market, people
from traderai.demo.people import Login


@dataclass(frozen=True)
class Prepared:
    """Everything the demo tells before it serves. `feed` is the folder to replay, None when the venue is followed."""

    market: market.DemoMarket
    model: ModelVersion
    backtest: BacktestRun
    logins: list[Login]
    feed: Path | None
    scan_line: str
    waits_for: str

    def report(self) -> str:
        label = (
            "SIMULATED MARKET (generated, not real prices)" if self.market.provenance == Provenance.SIMULATED else self.market.provenance
        )
        lines = ["", f"Market    {len(self.market.symbols)} pairs, {label}", f"Model     version {self.model.version}: {self.model.reason}"]
        lines += [f"Validated {_validation(self.backtest)}", f"Scan      {self.scan_line}"]
        if self.waits_for:
            lines.append(f"Strategy  waits: {self.waits_for} {autotrade.SHOWN_ONLY}")
        lines.append("")
        for login in self.logins:
            lines.append(f"{login.role:<8}  {login.email}   password {login.password}   TOTP secret {login.totp_secret}")
        lines.append("Type a TOTP secret into an authenticator app to sign in; trades are simulated (paper).")
        return "\n".join(lines)


def prepare(data: str | None, bars: Progress) -> Prepared:
    """Run every stage."""
    _stage(bars, "Migrating the database", lambda tell: call_command("migrate", verbosity=0))
    logins = _stage(bars, "People", lambda tell: people.ensure())
    prepared_market = _stage(bars, "Market history", lambda tell: market.ensure(data, tell))
    model = _stage(bars, "Training", lambda tell: _model(prepared_market.symbols, tell))
    trader = User.objects.get(email=logins[0].email)
    backtest = _stage(bars, "Validating out of sample", lambda tell: _backtest(trader, prepared_market.symbols, tell))
    waits_for = _stage(bars, "Strategy", lambda tell: _start_strategy(trader))
    report = _stage(bars, "First scan", lambda tell: scan.run(slot=None))
    feed = market.feed_folder() if prepared_market.live == "replay" else None
    return Prepared(
        prepared_market,
        model,
        backtest,
        logins,
        feed,
        f"{len(report.issued)} signals issued, {len(report.rejected)} candidates rejected",
        waits_for,
    )


def _stage(bars: Progress, name: str, work: Callable[[market.Progress], Any]) -> Any:
    task = bars.add_task(name, total=1.0)
    result = work(lambda text, share: bars.update(task, description=f"{name}: {text}", completed=share))
    bars.update(task, description=name, completed=1.0)
    return result


def _model(symbols: list[str], tell: market.Progress) -> ModelVersion:
    champion = registry.champion()
    if champion is None:
        run = training.queue(symbols, params={}, alongside=True)  # a demo that was killed may have left one
        training.run(run.pk, progress=tell)
        champion = registry.champion()
    assert champion is not None, "the first model of a scope is always promoted"
    return champion


def _backtest(trader: User, symbols: list[str], tell: market.Progress) -> BacktestRun:
    done = BacktestRun.objects.for_user(trader).filter(status=JobStatus.DONE).order_by("-id").first()
    if done is not None:
        return done
    profile = trader.profile
    run = runs.start(trader, symbols=symbols, capital=profile.simulation_capital, risk_profile=profile.risk_profile, queue=False)
    runs.execute(run.pk, progress=tell)
    run.refresh_from_db()
    return run


def _validation(run: BacktestRun) -> str:
    metrics = run.metrics["metrics"]

    def figure(key: str, unit: str = "", decimals: int = 2) -> str:
        value = metrics[key]["value"]
        return f"{key} {'not defined' if value is None else f'{value:.{decimals}f}{unit}'}"

    parts = [
        figure("trades", decimals=0),
        figure("hit_rate_tp1"),
        figure("profit_factor"),
        figure("total_return_pct", " %"),
        figure("max_drawdown_pct", " %"),
    ]
    return f"out of sample, after costs: {', '.join(parts)}"


def _start_strategy(trader: User) -> str:
    """Start it; why it may not trade by itself instead, "" when it does."""
    account = paper_accounts.open_for(trader)
    config, created = StrategyConfig.objects.get_or_create(
        user=trader,
        name="ML ensemble",
        defaults={"account": account, "template": "ml-ensemble", "risk_profile": trader.profile.risk_profile},
    )
    reason = autotrade.held(registry.champion())
    if created and not reason:
        autotrade.start(config)
    return reason
