"""From a target to whose turn it is: the module, its holder, and what is to be done.

Nothing is judged here.  Which module a URL belongs to (docs/design.md §2): the one whose registered
inlet is its prefix; else the module that is running, if that module's document named it; else, when
the account ordered it (number mapping, API, event mapping, fallback), the account's own `self`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from dispatcher.flows import Application, Instance
from dispatcher.grant import (
    BridgeGrant,
    Control,
    DocumentGrant,
    Grant,
    InlineGrant,
    NoOutlet,
    Parameters,
    Request,
    ResumeGrant,
)
from dispatcher.snapshot import Snapshot
from dispatcher.targets import (
    ApplicationTarget,
    BadTarget,
    BridgeTarget,
    InlineTarget,
    ModuleTarget,
    OutletTarget,
    ResumeTarget,
    UrlTarget,
    bridge_destination,
    parse_target,
)
from metering.interval import Cause, Holder, Mode
from modules.module import BRIDGE, Layer, Module

_BY_DOCUMENT = frozenset({Cause.VERB, Cause.OUTLET, Cause.RESUME})
"""Causes where the running module named the target; the others are orders of the account."""

_MODES = {Layer.LOW: Mode.BRIDGE, Layer.APPLICATION: Mode.APPLICATION, Layer.SERVICE: Mode.SERVICE}
"""The operational mode that each layer's time is metered in."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Who is next, if policy agrees."""

    module: Module
    grant: Grant
    destination: str = ""
    """What a bridge calls: a number, or a URI."""

    @property
    def holder(self) -> Holder:
        return self.grant.control.holder


class Resolution:
    """One request, being resolved."""

    def __init__(self, snapshot: Snapshot, request: Request) -> None:
        self._snapshot = snapshot
        self._request = request
        self._payer = request.on_behalf_of or request.account_sid
        self._running = self._running_document()

    @property
    def payer(self) -> str:
        """AC… of the account that is judged and pays."""
        return self._payer

    def turn(self) -> Turn | NoOutlet:
        """Raises `BadTarget` when the target leads nowhere."""
        target = parse_target(self._request.target)
        match target:
            case UrlTarget():
                return self._url(target)
            case ModuleTarget():
                return self._module(target)
            case OutletTarget():
                return self._outlet(target)
            case ApplicationTarget():
                return self._application(target)
            case BridgeTarget():
                return self._bridge(target)
            case ResumeTarget():
                return self._resume()
            case InlineTarget():
                return self._inline()
            case _:
                assert_never(target)

    def responsible(self) -> Holder:
        """Who answers for a target that leads nowhere: whoever named it."""
        return self._marked(self._base()).holder

    # ------------------------------------------------------------------ one method per kind of target

    def _url(self, target: UrlTarget) -> Turn:
        running = self._running
        running_code = running.holder.module if running else ""
        module = self._snapshot.modules.owner_of(target.url, running_code)
        if module is None:
            control = self._base()
            module = self._module_of(control)
        elif running is not None and module.code == running_code:
            control = running
        else:
            control = self._control(module, inlet=module.inlet)
        grant = DocumentGrant(
            self._marked(control), target.url, self._request.method, self._request.parameters
        )
        return Turn(module, grant)

    def _module(self, target: ModuleTarget) -> Turn:
        module = self._snapshot.modules.get(target.code)
        if module is None:
            raise BadTarget(f"there is no module {target.code}")
        running = self._running
        if running is not None and running.holder.module == module.code:
            instance = self._instance(running.holder)
            return self._enter(module, instance, target.parameters, running.holder.application)
        application = running.holder.application if running else ""
        return self._enter(module, None, target.parameters, application)

    def _outlet(self, target: OutletTarget) -> Turn | NoOutlet:
        holder = self._request.current.holder if self._request.current else None
        application = self._snapshot.applications.get(holder.application) if holder else None
        if holder is None or application is None or not holder.instance:
            return NoOutlet(
                target.name, f"outlet {target.name}: the running module is no instance of an application"
            )
        instance = application.next(holder.instance, target.name)
        if instance is None:
            wired = ", ".join(application.outlets(holder.instance)) or "none"
            return NoOutlet(
                target.name,
                f"outlet {target.name} of {holder.instance} leads nowhere in application "
                f"{application.name}; wired outlets: {wired}",
            )
        return self._enter_instance(application, instance, target.parameters)

    def _application(self, target: ApplicationTarget) -> Turn:
        application = self._snapshot.applications.get(target.sid)
        # Somebody else's application is as unknown as one that does not exist.
        if application is None or application.account_sid not in (self._payer, self._request.account_sid):
            raise BadTarget(f"account {self._payer} has no application {target.sid}")
        if not application.active:
            raise BadTarget(f"application {application.name} ({application.sid}) is not active")
        name = target.instance or application.start
        instance = application.instances.get(name)
        if instance is None:
            raise BadTarget(f"application {application.name} has no instance {name}")
        return self._enter_instance(application, instance, target.parameters)

    def _bridge(self, target: BridgeTarget) -> Turn:
        holder = self._request.current.holder if self._request.current else None
        return self._join(
            target,
            instance=holder.instance if holder else "",
            application=holder.application if holder else "",
            # The module that dialled stays answerable: its documents come back after the bridge.
            behind=self._running,
        )

    def _resume(self) -> Turn:
        if not self._request.suspended or self._running is None:
            raise BadTarget("resume: needs a document that waits behind its Dial, and there is none")
        return Turn(self._module_of(self._running), ResumeGrant(self._marked(self._running)))

    def _inline(self) -> Turn:
        if self._request.cause is not Cause.API:
            raise BadTarget("inline: comes only with a document given to the API")
        control = self._base()
        return Turn(self._module_of(control), InlineGrant(self._marked(control)))

    # ------------------------------------------------------------------ entering a module

    def _enter_instance(self, application: Application, instance: Instance, outlet: Parameters) -> Turn:
        module = self._snapshot.modules.get(instance.module)
        if module is None:
            raise BadTarget(
                f"instance {instance.name} of application {application.name} is of module "
                f"{instance.module}, which does not exist"
            )
        return self._enter(module, instance, outlet, application.sid)

    def _enter(self, module: Module, instance: Instance | None, outlet: Parameters, application: str) -> Turn:
        """Begin at the inlet.  Parameters of the instance are laid over the module's defaults, those
        of the outlet over both."""
        own = instance.parameters if instance else ()
        parameters = overlaid(overlaid(tuple(module.defaults.items()), own), outlet)
        if wrong := module.wrong_parameters(dict(parameters)):
            raise BadTarget(wrong)
        name = instance.name if instance else ""
        if module.code == BRIDGE:
            return self._enter_bridge(parameters, name, application)
        inlet = (instance.inlet if instance else "") or module.inlet
        if not inlet:
            raise BadTarget(f"module {module.code} has no inlet; name the URL of its document instead")
        control = self._control(
            module, inlet=inlet, instance=name, application=application, parameters=parameters
        )
        sent = overlaid(parameters, self._request.parameters)
        if inlet.startswith(("sip:", "sips:", "tel:")):
            grant: Grant = BridgeGrant(self._marked(control), inlet, sent)
            return Turn(module, grant, bridge_destination(inlet))
        return Turn(module, DocumentGrant(self._marked(control), inlet, self._request.method, sent))

    def _enter_bridge(self, parameters: Parameters, instance: str, application: str) -> Turn:
        values = dict(parameters)
        target = parse_target(values["target"])
        if not isinstance(target, BridgeTarget):
            raise BadTarget(f"a bridge cannot lead to {values['target']!r}; expected tel:, sip:, or client:")
        others = tuple(pair for pair in parameters if pair[0] != "target")
        return self._join(
            replace(target, parameters=overlaid(others, target.parameters)),
            instance=instance,
            application=application,
            behind=None,
        )

    def _join(self, target: BridgeTarget, *, instance: str, application: str, behind: Control | None) -> Turn:
        module = self._snapshot.modules.get(BRIDGE)
        if module is None:
            raise BadTarget(f"module {BRIDGE} is missing")
        via = self._running.holder.module if self._running else self._snapshot.own_module(self._payer).code
        control = self._control(
            module,
            inlet=behind.inlet_url if behind else "",
            instance=instance,
            application=application,
            parameters=behind.parameters if behind else target.parameters,
            via=via,
        )
        control = replace(control, secret=behind.secret if behind else "")
        grant = BridgeGrant(self._marked(control), target.uri, target.parameters)
        return Turn(module, grant, bridge_destination(target.uri))

    # ------------------------------------------------------------------ who holds the call

    def _control(
        self,
        module: Module,
        *,
        inlet: str,
        instance: str = "",
        application: str | None = None,
        parameters: Parameters = (),
        via: str = "",
    ) -> Control:
        """`application` None: whatever application is running goes on."""
        if application is None:
            application = self._running.holder.application if self._running else ""
        entitlement = self._snapshot.subscriptions.entitlement(
            module.code,
            number=self._request.key_number,
            application=application,
            account=self._payer,
            now_ms=self._request.now_ms,
        )
        agreed = entitlement.subscription.plan if entitlement.subscription else ""
        holder = Holder(
            module=module.code,
            owner=module.owner,
            mode=_MODES[module.layer],
            instance=instance,
            application=application,
            via=via,
            plan=agreed or module.plan,
        )
        return Control(holder, inlet_url=inlet, secret=module.secret, parameters=parameters)

    def _base(self) -> Control:
        """Who a URL without a module of its own belongs to."""
        own = self._snapshot.own_module(self._payer)
        running = self._running
        if running is not None and (self._request.cause in _BY_DOCUMENT or running.holder.module == own.code):
            return running
        return self._control(own, inlet="", application="")

    def _running_document(self) -> Control | None:
        """Control of the module whose documents run, or will again when the bridge is over."""
        current = self._request.current
        if current is None or current.holder.module != BRIDGE:
            return current
        module = self._snapshot.modules.get(current.holder.via)
        if module is None:
            return None
        instance = self._instance(current.holder)
        holder = replace(
            current.holder,
            module=module.code,
            owner=module.owner,
            mode=_MODES[module.layer],
            instance=instance.name if instance and instance.module == module.code else "",
            via="",
            plan=module.plan,
        )
        return Control(
            holder,
            inlet_url=current.inlet_url or module.inlet,
            secret=current.secret or module.secret,
            parameters=current.parameters,
        )

    def _instance(self, holder: Holder) -> Instance | None:
        application = self._snapshot.applications.get(holder.application)
        return application.instances.get(holder.instance) if application else None

    def _module_of(self, control: Control) -> Module:
        found = self._snapshot.modules.get(control.holder.module)
        return found or self._snapshot.own_module(self._payer)

    def _marked(self, control: Control) -> Control:
        current = self._request.current
        # A document on a driven call leads to others on it; whoever else gives it instructions frees it.
        inherited = current.holder.driven_by if current and self._request.cause in _BY_DOCUMENT else ""
        on_behalf_of, driven_by = self._request.on_behalf_of, self._request.driven_by or inherited
        holder = control.holder
        if (holder.on_behalf_of, holder.driven_by) == (on_behalf_of, driven_by):
            return control
        return replace(control, holder=replace(holder, on_behalf_of=on_behalf_of, driven_by=driven_by))


def overlaid(under: Parameters, over: Parameters) -> Parameters:
    """`under` without the names that `over` has, then `over`."""
    names = {name for name, _ in over}
    return (*(pair for pair in under if pair[0] not in names), *over)
