"""Promises that no single module can keep: what is named here exists there."""

import ast
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings
from django.core.management import call_command, get_commands, load_command_class
from django.template.loader import get_template

from accounts.models.user import RiskChoice
from exchanges.risk.profiles import PROFILES
from signals.models.strategy import RISK_CHOICES
from tests.traderai.test_access import PUBLIC, SIGNED_IN, pages

ROOT = Path(__file__).resolve().parents[2]
APPS = ("accounts", "exchanges", "signals", "backtesting", "gamification", "traderai")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.txt")])
TEMPLATES = sorted([*(ROOT / "templates").rglob("*.html"), *(path for app in APPS for path in (ROOT / app).rglob("templates/**/*.html"))])
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("form", "action"), ("source", "src"), ("use", "href")}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- database


@pytest.mark.django_db
def test_it_has_a_migration_for_every_change_of_a_model():
    said = StringIO()
    call_command("makemigrations", "--check", "--dry-run", stdout=said)
    assert "No changes detected" in said.getvalue()


def test_it_offers_the_risk_profiles_that_the_gate_knows():
    assert set(RiskChoice.values) == set(PROFILES) == {value for value, _ in RISK_CHOICES}


# --- tasks


def registered_tasks() -> set[str]:
    current_app.loader.import_default_modules()
    return {name for name in current_app.tasks if not name.startswith("celery.")}


def nudged() -> Iterator[tuple[str, str]]:
    """(place, task) of every nudge in the product; a task that is not written out is told as its source."""
    for path in (path for app in APPS for path in (ROOT / app).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "nudge":
                task = node.args[0] if node.args else node
                yield f"{name_of(path)}:{node.lineno}", str(task.value) if isinstance(task, ast.Constant) else ast.unparse(task)


@pytest.mark.redis  # what loads tasks lets go of caches
def test_it_schedules_only_tasks_that_exist():
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled - registered_tasks() == set()


@pytest.mark.redis  # what loads tasks lets go of caches
def test_it_nudges_only_tasks_that_exist():
    found = list(nudged())
    assert found
    assert [(place, task) for place, task in found if task not in registered_tasks()] == []


@pytest.mark.redis  # what loads tasks lets go of caches
def test_it_reaches_every_task_by_schedule_nudge_or_delay():
    sources = "\n".join(path.read_text() for app in APPS for path in (ROOT / app).rglob("*.py"))
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    waiting = registered_tasks() - scheduled - {task for _, task in nudged()}
    assert [task for task in sorted(waiting) if f"{task.rpartition('.')[2]}.delay(" not in sources] == []


# --- pages


class Page(HTMLParser):
    """Collects what the content security policy would block, and what other hosts would be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        kind = attributes.get("type", "")
        if tag == "style" or (tag == "script" and not ({"src", "nonce"} & set(attributes) or kind.startswith("application/"))):
            self.complaints.append(f"inline <{tag}>")
        for name, value in attributes.items():
            if name == "style" or (name.startswith("on") and len(name) > 2) or name.startswith("hx-on"):
                self.complaints.append(f"{name}= on <{tag}>")
            if (tag, name) in LOADED and re.match(r"(https?:)?//", value):
                self.complaints.append(f"<{tag}> asks {value}")
            if value.lower().startswith("javascript:"):
                self.complaints.append(f"<{tag}> runs {value}")


def complaints(html: str) -> list[str]:
    page = Page()
    page.feed(html)
    return page.complaints


def test_it_recognises_what_the_policy_blocks():
    bad = '<script>1</script><p style="a" onclick="b">x</p><img src="//cdn.example/x.png"><a href="javascript:1">y</a>'
    assert len(complaints(bad)) == 5
    good = '<script type="application/json">{}</script><script src="/a.js" nonce="n"></script><a href="https://example.com/">x</a>'
    assert complaints(good) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_its_template_holds_nothing_that_the_policy_blocks(path):
    text = re.sub(r"\{#.*?#\}|\{% comment.*?endcomment %\}", "", path.read_text(), flags=re.DOTALL)
    scripts = re.findall(r"<script\b[^>]*>", text)
    assert [tag for tag in scripts if "nonce=" not in tag] == []
    assert complaints(re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL)) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_its_template_compiles(path):
    relative = path.relative_to(next(parent for parent in path.parents if parent.name == "templates"))
    assert get_template(str(relative)).template.nodelist


@pytest.mark.parametrize("cast", ["stranger", "trader", "staff"])
def test_its_pages_hold_nothing_that_the_policy_blocks(cast, client, alice, sam, client_for):
    visitor = {"stranger": client, "trader": client_for(alice), "staff": client_for(sam)}[cast]
    found = {}
    for page in pages():
        response = visitor.get(page.path) if page.name in PUBLIC | SIGNED_IN else None
        if response is None or not response.headers.get("Content-Type", "").startswith("text/html") or page.name.startswith("api:"):
            continue
        found[page.name] = complaints(response.content.decode())
    assert len(found) >= 5
    assert {name: bad for name, bad in found.items() if bad} == {}


@pytest.mark.parametrize("path", sorted([*(ROOT / "static").rglob("*.css"), *(ROOT / "static").rglob("*.js")]), ids=name_of)
def test_its_styles_and_scripts_ask_no_other_host(path):
    assert re.findall(r"(?:url\(|import\s*\(?|from|fetch\()\s*[\"']?(?:https?:)?//[^\s\"')]+", path.read_text()) == []


# --- documents


def written(pattern: str) -> list[tuple[str, str]]:
    """(document, match) of every match in the documents."""
    return [(name_of(path), match) for path in DOCUMENTS for match in re.findall(pattern, path.read_text())]


def test_its_documents_name_only_commands_and_options_that_exist():
    known = get_commands()
    found = written(r"manage\.py ([a-z_]+(?:[ \t]+[^`\n|]+)?)")
    assert found
    wrong = []
    for document, line in found:
        command, *words = shlex.split(line, comments=True)
        if command not in known:
            wrong.append((document, command))
            continue
        parser = load_command_class(known[command], command).create_parser("manage.py", command)
        wrong += [(document, f"{command} {word}") for word in words if word.startswith("--") and word not in parser._option_string_actions]
    assert wrong == []


def test_its_documents_name_only_targets_and_variables_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE))
    found = written(r"(?:`|^|\n)make ([a-z]+)((?: [A-Z]+=\S*?)*)[`\s]")
    assert found
    for document, (target, given) in found:
        assert target in targets, document
        assert set(re.findall(r"([A-Z]+)=", given)) <= variables, document


def test_its_documents_name_only_files_that_exist():
    found = written(r"`((?:\.?[\w-]+/)+[\w.-]*|[\w-]+\.(?:md|toml|lock|yml|txt))`") + written(r"\]\(([^):#]+)\)")
    assert found
    missing = [
        (document, name) for document, name in found if not ((ROOT / document).parent / name).exists() and not (ROOT / name).exists()
    ]
    assert [entry for entry in missing if not entry[1].startswith("var/")] == []


def test_its_documents_name_only_modules_that_exist():
    found = written(rf"`((?:{'|'.join(APPS)})(?:\.[a-z_]+)+)(?:\(\))?`")
    assert found
    assert [(document, dotted) for document, dotted in found if not exists(dotted)] == []


def exists(dotted: str) -> bool:
    """Whether it is a module, or something in one."""
    module, _, attribute = dotted.rpartition(".")
    return hasattr(import_module(module), attribute) or (hasattr(import_module(module), "__path__") and find_spec(dotted) is not None)


def test_its_example_environment_lists_every_variable():
    sources = (ROOT / "traderai" / "settings.py").read_text() + (ROOT / "traderai" / "env.py").read_text()
    read = set(re.findall(r"(?:env\.\w+|required_secret|environ\.get|getenv)\(\s*\"([A-Z_]+)\"", sources))
    listed = set(re.findall(r"^#?\s*([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert "SECRET_KEY" in read
    assert read - listed == {"ENV_FILE"}, "not in .env.example: all but the name of the file itself"
    assert listed - read <= set(re.findall(r"[A-Z_]{4,}", sources)), "nobody reads these"
