"""Strategies: what is offered, what I configured, and whether it trades."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import audit
from accounts.models import User
from exchanges import paper_accounts
from exchanges.models import TradingAccount
from signals import autotrade, processing, registry
from signals.forms import StrategyConfigForm
from signals.models import ModelVersion, StrategyConfig
from signals.ports import Template
from signals.strategies import TEMPLATES
from traderai.lib.errors import UserError


@login_required
@require_safe
def strategy_list(request: HttpRequest) -> HttpResponse:
    """Templates, and my configurations with what they did."""
    configs = StrategyConfig.objects.for_user(request.user).select_related("account").order_by("id")
    champion = registry.champion()
    held = autotrade.held(champion)
    context = {
        "held": held,
        "champion": champion,
        "templates": [_described(template, champion) for template in TEMPLATES.values()],
        "statuses": [autotrade.status(config, held) for config in configs],
    }
    return render(request, "signals/strategies.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def config_new(request: HttpRequest, slug: str) -> HttpResponse:
    """A new configuration of the template `slug`, on my paper account."""
    template = TEMPLATES.get(slug)
    if template is None:
        raise Http404
    form = StrategyConfigForm(request.POST or None, user=request.user, template=template)
    if request.method == "POST" and form.is_valid():
        form.instance.account = paper_accounts.open_for(request.user)
        config = form.save()
        messages.success(request, f"{config.name} is saved. It trades once you start it.")
        return redirect("strategies:list")
    return _form_page(request, form, template)


@login_required
@require_http_methods(["GET", "POST"])
def config_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change one of my configurations; one that runs goes by the new settings from the next signal on."""
    config = _mine(request, pk)
    template = TEMPLATES.get(config.template)
    if template is None:
        raise Http404
    form = StrategyConfigForm(request.POST or None, instance=config, user=request.user, template=template)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, f"{form.instance.name} is saved.")
        return redirect("strategies:list")
    return _form_page(request, form, template)


def _form_page(request: HttpRequest, form: StrategyConfigForm, template: Template) -> HttpResponse:
    context = {"form": form, "template": _described(template, registry.champion()), "config": form.instance if form.instance.pk else None}
    return render(request, "signals/strategy_form.html", context, status=422 if form.is_bound else 200)


@login_required
@require_http_methods(["GET", "POST"])
def config_start(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask first, with what will happen; then start."""
    config = _mine(request, pk)
    if request.method == "GET":
        if reason := autotrade.held(registry.champion()):
            messages.error(request, f"{reason} {autotrade.SHOWN_ONLY}")
            return redirect("strategies:list")
        return render(request, "signals/strategy_start.html", {"config": config, **_money(config.account)})
    try:
        autotrade.start(config)
    except UserError as error:
        messages.error(request, error.message)
    else:
        audit.record(cast(User, request.user), "autotrade_started", request, config=config.pk)
        messages.success(request, f"{config.name} trades by itself now, with simulated fills on your paper account.")
    return redirect("strategies:list")


@login_required
@require_POST
def config_stop(request: HttpRequest, pk: int) -> HttpResponse:
    config = _mine(request, pk)
    autotrade.stop(config)
    audit.record(cast(User, request.user), "autotrade_stopped", request, config=config.pk)
    messages.success(request, f"{config.name} opens nothing new. Open positions keep their stops and take-profits.")
    return redirect("strategies:list")


def _mine(request: HttpRequest, pk: int) -> StrategyConfig:
    return get_object_or_404(StrategyConfig.objects.for_user(request.user).select_related("account"), pk=pk)


def _money(account: TradingAccount) -> dict[str, Any]:
    return {"account": account, "equity": paper_accounts.equity(account)}


def _described(template: Template, champion: ModelVersion | None) -> dict[str, Any]:
    """A template with the thresholds that apply here, and the plan of the model in charge."""
    rule = processing.entry_rule(template)
    return {
        "slug": template.slug,
        "name": template.name,
        "description": template.description,
        "style": template.style,
        "min_probability_pct": rule.min_confidence * 100.0,
        "min_net_profit_pct": rule.min_net_profit_pct,
        "coverage_pct": rule.coverage * 100.0,
        "plan": template.plan if champion is None else champion.plan,
        "hold_hours": template.plan.max_hold_hours,
    }
