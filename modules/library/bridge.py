"""`platform.bridge`: joins the caller to somebody, with no document executing.

As an instance of an application it takes the attributes of Dial as parameters and the far end as
`target`.  The dispatcher grants a bridge where its turn comes, and `document` says what is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree  # only writes: nothing is parsed here

from modules.module import BRIDGE, Layer, Module, Parameter, ParameterType, module_sid

DECLARATION = Module(
    code=BRIDGE,
    owner="platform",
    layer=Layer.LOW,
    inlet="builtin:bridge",
    sid=module_sid(BRIDGE),
    parameters=(
        Parameter("target", ParameterType.TARGET, required=True, description="tel:, sip:, sips: or client:"),
        Parameter("timeout", ParameterType.INTEGER, description="Seconds to let it ring."),
        Parameter("timeLimit", ParameterType.INTEGER, description="Longest duration in seconds."),
        Parameter("callerId", description="Number or name shown to the far end."),
        Parameter("hangupOnStar", ParameterType.BOOLEAN, description="The caller's * ends the bridge."),
    ),
    is_open=True,
)


def document(uri: str, parameters: Mapping[str, str]) -> bytes:
    """The document the bridge runs: a Dial of `uri`, with those of its parameters that Dial knows."""
    dial = ElementTree.Element("Dial")
    for name in ("timeout", "timeLimit", "callerId", "hangupOnStar"):
        if parameters.get(name):
            dial.set(name, parameters[name])
    scheme, _, rest = uri.partition(":")
    noun = {"tel": "Number", "client": "Client"}.get(scheme, "Sip")
    ElementTree.SubElement(dial, noun).text = uri if noun == "Sip" else rest
    response = ElementTree.Element("Response")
    response.append(dial)
    return bytes(ElementTree.tostring(response, encoding="utf-8"))
