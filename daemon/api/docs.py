"""The page at `/docs`: the OpenAPI document as HTML, whole, without scripts and without a network.

Everything is written here once, as text: it can be read with any browser, saved, printed and searched. `details`
elements fold what is long. The style is `docs.css`, put inline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

STYLE: Final = Path(__file__).with_name("docs.css")
_DEPTH_MAX: Final = 6
_LARGEST: Final = {2**53 - 1: "2^53 - 1", 2**63 - 1: "2^63 - 1"}
Document = Mapping[str, Any]


def page(document: Document, examples: Mapping[str, Sequence[str]]) -> str:
    """The whole page. examples: shell lines by operation id."""
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    chapters = [_chapter(document, tag, operations, examples) for tag in document["tags"]]
    body = "".join(chapters) + _applications(document) + _spaces(document) + _codes(document)
    info = document["info"]
    lead = "".join(f'<p class="lead">{_text(part)}</p>' for part in info["description"].split("\n\n"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{STYLE.read_text()}</style></head><body>"
        f'<div class="frame">{_navigation(document, operations)}<main><h1>{escape(info["title"])} API</h1>{lead}'
        f'<p>Version {escape(info["version"])}. For machines: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1). '
        "In the examples <code>BASE</code> is where this node listens: "
        "<code>BASE=http://127.0.0.1:8100</code>.</p>"
        f"{body}</main></div></body></html>\n"
    )


def _navigation(document: Document, operations: list[tuple[str, str, Any]]) -> str:
    parts = []
    for tag in document["tags"]:
        links = [
            f'<li><a href="#{operation["operationId"]}">{escape(operation["summary"].rstrip("."))}</a></li>'
            for _, _, operation in operations
            if tag["name"] in operation["tags"]
        ]
        parts.append(f"<h2>{escape(tag['name'])}</h2><ul>{''.join(links)}</ul>")
    apps = [
        f'<li><a href="#app-{escape(app["name"])}">{escape(app["name"])}</a></li>'
        for app in document["x-papilio-applications"]
    ]
    parts.append(f"<h2>Applications</h2><ul>{''.join(apps)}<li><a href='#spaces'>Spaces of the state</a></li></ul>")
    parts.append('<h2>Reference</h2><ul><li><a href="#codes">Codes</a></li></ul>')
    listed = "".join(parts)
    folded = f'<details class="contents"><summary>Contents</summary><nav>{listed}</nav></details>'  # on a phone
    return f'<nav class="side"><strong>Papilio</strong>{listed}</nav>{folded}'


def _chapter(
    document: Document, tag: Mapping[str, str], operations: list[tuple[str, str, Any]], examples: Mapping[str, Any]
) -> str:
    cards = [
        _operation(document, method, path, operation, examples.get(operation["operationId"], ()))
        for method, path, operation in operations
        if tag["name"] in operation["tags"]
    ]
    head = f"<h2>{escape(tag['name'])}</h2><p>{_text(tag['description'])}</p>"
    return f'<section class="chapter">{head}{"".join(cards)}</section>'


def _operation(document: Document, method: str, path: str, operation: Any, examples: Sequence[str]) -> str:
    words = "".join(f"<p>{_text(part)}</p>" for part in operation["description"].split("\n\n"))
    route = f'<span class="method {method}">{method.upper()}</span><h3>{escape(path)}</h3>'
    parts = [f'<article class="card" id="{operation["operationId"]}"><div class="route">{route}</div>{words}']
    if operation["parameters"]:
        rows = "".join(_parameter(parameter) for parameter in operation["parameters"])
        parts.append(f"<h4>Parameters</h4><div class='wide'><table>{rows}</table></div>")
    if "requestBody" in operation:
        body = operation["requestBody"]
        parts.append(f"<h4>Body</h4><p>{_text(body['description'])}</p>{_contents(document, body['content'])}")
    parts.append(f"<h4>Answers</h4>{_answers(document, operation['responses'])}")
    if examples:
        parts.append("<h4>Example</h4>" + "".join(f"<pre>{escape(line)}</pre>" for line in examples))
    return "".join(parts) + "</article>"


def _parameter(parameter: Mapping[str, Any]) -> str:
    need = ' <span class="need">required</span>' if parameter.get("required") else ""
    place = "" if parameter["in"] == "query" else f" <span class='type'>in the {parameter['in']}</span>"
    kind = f"<span class='type'>{escape(_type(parameter['schema']))}</span>"
    name = f"<td><code>{escape(parameter['name'])}</code>{need}{place}</td>"
    return f"<tr>{name}<td>{_text(parameter['description'])}<br>{kind}</td></tr>"


def _answers(document: Document, responses: Mapping[str, Any]) -> str:
    parts = []
    for status, answer in responses.items():
        if status == "default":
            continue
        kind = "ok" if status.startswith("2") else "no"
        contents = _contents(document, answer["content"]) if kind == "ok" else ""
        words = _text(answer["description"])
        parts.append(f'<div><span class="status {kind}">{status}</span> {words}{contents}</div>')
    return "".join(parts)


def _contents(document: Document, content: Mapping[str, Any]) -> str:
    parts = []
    for media, described in content.items():
        fields = _fields(document, described["schema"], 0)
        if fields:
            parts.append(f"<details><summary>{escape(media)}</summary>{fields}</details>")
        else:
            words = described["schema"].get("description", "")
            parts.append(f"<div class='type'>{escape(media)}{': ' + escape(words) if words else ''}</div>")
    return "".join(parts)


# -- Schemas ------------------------------------------------------------------------------------------


def _resolved(document: Document, schema: Any) -> Any:
    while isinstance(schema, Mapping) and "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _described(document: Document, schema: Any) -> str:
    """What a record says of itself, and its fields."""
    words = _resolved(document, schema).get("description", "")
    return f"<p>{_text(words)}</p>{_fields(document, schema, 0)}"


def _fields(document: Document, schema: Any, depth: int) -> str:
    """The fields of an object, or of what an array holds, as a list; empty if there are none."""
    schema = _resolved(document, schema)
    if depth > _DEPTH_MAX:
        return ""
    if "items" in schema:
        return _fields(document, schema["items"], depth + 1)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            inner = [_fields(document, option, depth + 1) for option in schema[choice]]
            titles = [_resolved(document, option).get("title", "") for option in schema[choice]]
            named = [
                f"<details><summary>{escape(t)}</summary>{i}</details>" if t and i else i
                for t, i in zip(titles, inner, strict=True)
            ]
            return "".join(named) if choice == "oneOf" else "".join(inner)
    properties = schema.get("properties")
    if not properties:
        return ""
    required = set(schema.get("required", ()))
    rows = [_field(document, name, field, name in required, depth) for name, field in properties.items()]
    return f'<ul class="fields">{"".join(rows)}</ul>'


def _field(document: Document, name: str, schema: Any, needed: bool, depth: int) -> str:
    target = _resolved(document, schema)
    words = schema.get("description") or (target.get("description", "") if "$ref" not in schema else "")
    optional = "" if needed else ' <span class="type">(may be absent)</span>'
    inner = _fields(document, schema, depth + 1)
    return (
        f"<li><code>{escape(name)}</code> <span class='type'>{escape(_type(target))}</span>{optional}"
        f"{' ' + _text(words) if words else ''}{inner}</li>"
    )


def _type(schema: Any) -> str:
    """A schema in a few words."""
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(_type(option) for option in schema[choice]))
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "enum" in schema:
        values = [str(value) for value in schema["enum"]]
        return " | ".join(values) if len(values) <= 12 else "one of the codes"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return kind + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    pattern = schema.get("pattern", "")
    if pattern.startswith("^[0-9a-f]{") and pattern.endswith("}$"):
        return f", {int(pattern[10:-2]) // 2} bytes in hex"
    if "0-9a-f]{2})" in pattern:
        low, high = schema.get("minLength", 0) // 2, schema.get("maxLength")
        size = "" if high is None else f"{low} bytes " if low == high // 2 else f"{low} to {high // 2} bytes "
        return f", {size}in hex"
    if "minimum" in schema and "maximum" in schema:
        return f" {schema['minimum']} to {_LARGEST.get(schema['maximum'], schema['maximum'])}"
    return f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""


# -- Applications and codes ---------------------------------------------------------------------------


def _applications(document: Document) -> str:
    lead = "What the operations inside an envelope say. On the wire their arguments are canonical records with exactly "
    lead += "these fields; here they are shown as JSON."
    parts = [f'<section class="chapter"><h2>Applications</h2><p>{lead}</p>']
    for application in document["x-papilio-applications"]:
        name = escape(application["name"])
        parts.append(f'<article class="card" id="app-{name}"><h3>{name}</h3><p>{_text(application["words"])}</p>')
        parts += [_app_operation(document, application["name"], operation) for operation in application["operations"]]
        parts.append("</article>")
    return "".join(parts) + "</section>"


def _app_operation(document: Document, app: str, operation: Mapping[str, Any]) -> str:
    result = "" if operation["result"] is None else f"<h4>Result</h4>{_described(document, operation['result'])}"
    refusals = (
        ", ".join(f'<a href="#code-{r["code"]}">{r["code"]}</a>' for r in operation["refusals"]) or "none of its own"
    )
    head = f"<code>{escape(app)}.{escape(operation['name'])}</code> {_text(operation['words'])}"
    arguments = _described(document, operation["arguments"])
    body = f"<h4>Arguments</h4>{arguments}{result}<p>Refusals: {refusals}.</p>"
    return f"<details><summary>{head}</summary>{body}</details>"


def _spaces(document: Document) -> str:
    lead = 'Values by key, as <a href="#state_value">/v1/state/{space}</a> gives them.'
    parts = [f'<section class="chapter" id="spaces"><h2>Spaces of the state</h2><p>{lead}</p><article class="card">']
    for space in document["x-papilio-spaces"]:
        key = ", ".join(
            f"<code>{escape(part['name'])}</code> ({part['type']}: {_text(part['words'])})" for part in space["key"]
        )
        parts.append(
            f"<details><summary><code>{escape(space['name'])}</code> {_text(space['words'])}</summary>"
            f"<p>Key: {key or 'none; there is one value'}.{_added(space)}</p>"
            f"{_described(document, space['value'])}</details>"
        )
    return "".join(parts) + "</article></section>"


def _added(space: Mapping[str, Any]) -> str:
    if not space["added"]:
        return ""
    words = " Records are only ever added: that one is there can be proven, that there is none cannot."
    also = space["also"]
    if also is None:
        return words
    parts = ", ".join(f"<code>{escape(part['name'])}</code>" for part in also["key"])
    return f"{words} Second key: <code>{escape(also['name'])}</code> ({_text(also['words'])}), by {parts}."


def _codes(document: Document) -> str:
    rows = [
        f'<tr id="code-{row["code"]}"><td><code>{row["code"]}</code></td><td>{_text(row["title"])}</td>'
        f"<td>{row['fault']}</td><td>{row['retry']}</td><td>{row['status'] or ''}</td></tr>"
        for row in document["x-papilio-codes"]
    ]
    head = "<tr><th>Code</th><th>Meaning</th><th>Whose fault</th><th>Retry</th><th>Status</th></tr>"
    lead = (
        "Every refusal, wherever it happens, has one of these. Codes are stable: none is ever renamed or given another "
    )
    lead += "meaning. Retry: never; later, here; elsewhere, now; changed, with a corrected content under a new id."
    listed = f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'
    return f'<section class="chapter" id="codes"><h2>Codes</h2><p>{lead}</p>{listed}</section>'


def _text(words: str) -> str:
    """Escaped, with `code` marked as such."""
    parts = escape(words, quote=False).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
