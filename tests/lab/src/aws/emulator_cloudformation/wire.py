"""CloudFormation's Query protocol: requests as forms, responses and errors as XML.

A form names a list's entries `Tags.member.1.Key`; an empty list arrives as `Tags=`. Results are plain
dictionaries: `None` leaves an element out, a list becomes `<member>` elements.
"""

from html import escape

from ministack.services.cloudformation.helpers import CFN_NS, new_uuid

PAGE = 100


class ApiError(Exception):
    """A refused request."""

    def __init__(self, message, code="ValidationError", status=400):
        super().__init__(message)
        self.message, self.code, self.status = message, code, status


def text(params, name, default=""):
    value = params.get(name, default)
    return (value[0] if value else default) if isinstance(value, list) else value


def flag(params, name):
    """True, False, or None if the request does not say."""
    value = text(params, name)
    return value.lower() == "true" if value else None


def strings(params, name):
    found = []
    while (value := text(params, f"{name}.member.{len(found) + 1}", None)) is not None:
        found.append(value)
    return found


def structures(params, name, *fields):
    """The entries of a list of structures; only the members that the request has."""
    found = []
    while True:
        prefix = f"{name}.member.{len(found) + 1}."
        entry = {field: text(params, prefix + field) for field in fields if prefix + field in params}
        if not entry:
            return found
        found.append(entry)


def given(params, name):
    """Whether the request has the list, even an empty one."""
    return any(key == name or key.startswith(f"{name}.member.") for key in params)


def content(value):
    if isinstance(value, dict):
        return "".join(
            f"<{name}>{content(item)}</{name}>" for name, item in value.items() if item is not None
        )
    if isinstance(value, (list, tuple)):
        return "".join(f"<member>{content(item)}</member>" for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    # An XML reader turns a literal carriage return into a newline.
    return escape(str(value)).replace("\r", "&#13;")


def reply(action, result=None):
    inner = "" if result is None else f"<{action}Result>{content(result)}</{action}Result>"
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><{action}Response xmlns="{CFN_NS}">{inner}'
        f"<ResponseMetadata><RequestId>{new_uuid()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return 200, {"Content-Type": "text/xml"}, body.encode()


def failure(error):
    sender = "Sender" if error.status < 500 else "Receiver"
    body = (
        f'<ErrorResponse xmlns="{CFN_NS}"><Error><Type>{sender}</Type><Code>{error.code}</Code>'
        ""
        f"<Message>{content(error.message)}</Message></Error><RequestId>{new_uuid()}</RequestId></ErrorResponse>"
    )
    return error.status, {"Content-Type": "text/xml"}, body.encode()


def page(params, items, tag, size=PAGE):
    """One page of `items`, and the token of the next one. AWS pages at 1 MB of output; tests need fewer."""
    token, start = text(params, "NextToken"), 0
    if token:
        kind, _, at = token.partition(":")
        if kind != tag or not at.isdigit():
            raise ApiError("Invalid NextToken")
        start = int(at)
    end = start + size
    return items[start:end], f"{tag}:{end}" if end < len(items) else None
