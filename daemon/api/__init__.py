"""The HTTP API of a running node: what clients submit, what they are answered, and what operators look at.

One table says everything (`table.py`): path, method, parameters, bodies, answers, refusals. Requests are matched and
checked by it, the OpenAPI document and the page at `/docs` are written from it; there is no second description.

Reading order:

* `messages`, `parsing`, `connection`, `server`  HTTP/1.1 on Trio, every wait and every buffer bounded
* `problems`   refusals as problem+json (RFC 9457), each with a code of `protocol.errors` (L-10)
* `kinds`, `routes`, `dispatch`  the table's rows, and what is done with a request
* `envelopes`, `chain`, `state`, `status`, `events`  the handlers
* `table`, `openapi`, `docs`  all rows, and what is written from them
* `edge`       the whole as one task in the node's process
* `port`       what of the node it needs

It knows no users: whoever reaches it may read everything and submit what is signed. So it listens on loopback unless
told otherwise; beyond, a proxy with TLS and access rules stands in front.

May import: `protocol`, `daemon.runtime`, `daemon.store.errors`, `daemon.observe`. Public: `edge.ApiEdge`,
`edge.ApiConfig`.
"""
