"""CloudFormation as on AWS, where MiniStack differs.

MiniStack parses templates, resolves references and provisions resources; that part is used as it is. Its
stacks end before a client can see them in progress, and it knows no roles. Everything between a request and a
provisioner is therefore replaced: change sets that are created and executed in the background, the states of
a stack with rollbacks and their failures, who may do what, and the messages of errors.
"""

from ministack import app
from ministack.services import cloudformation as emulated
from ministack.services.cloudformation.handlers import _ACTION_HANDLERS

from . import change_sets, control, drift, identity, operations, replacement, views, wire

MODULES = (change_sets, control, drift, operations, views)
ACTIONS = {name: action for module in MODULES for name, action in module.ACTIONS.items()}


def answering(action):
    def handler(params):
        try:
            return action(params)
        except wire.ApiError as refusal:
            return wire.failure(refusal)

    return handler


async def as_caller(method, path, headers, body, query_params):
    """The operations of a request have its caller's rights."""
    identity.remember_caller(headers, query_params)
    return await emulated.handle_request(method, path, headers, body, query_params)


_ACTION_HANDLERS.update({name: answering(action) for name, action in ACTIONS.items()})
app.SERVICE_HANDLERS["cloudformation"] = as_caller

__all__ = ["ACTIONS", "replacement"]
