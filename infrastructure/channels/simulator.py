"""What answers test addresses (`app.domain.simulator`), on every channel that has any: nobody is called."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, get_args

from app.domain.channel import ChannelSpec
from app.domain.device import Platform
from app.domain.errors import DeadAddressError, DeliveryError, InDoubtError, PermanentError, TransientError
from app.domain.outcome import Reason
from app.domain.ports import Message, ProviderTerms, Receipt
from app.domain.simulator import NAME, Behaviour, behaviour_of
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.timed_socket import Deadline

#: How long a slow one takes; half of the call's time where that is less.
SLOW_S: Final = 2.0

_SIMULATED: Final = "simulated"
_ERRORS: Final[Mapping[Behaviour, tuple[type[DeliveryError], Reason]]] = {
    Behaviour.BOUNCE: (PermanentError, Reason.PROVIDER_REJECTED),
    Behaviour.TRANSIENT: (TransientError, Reason.PROVIDER_TRANSIENT),
    Behaviour.UNANSWERED: (InDoubtError, Reason.IN_DOUBT),
}


class SimulatedProvider(OneByOneProvider):
    """Port Provider, for one channel. Threads may share it. What a message says is not looked at."""

    name = NAME
    terms = ProviderTerms(is_simulated=True, platforms=get_args(Platform))

    def __init__(self, spec: ChannelSpec, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._spec = spec

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """As the address says. Raises DeliveryError."""
        behaviour = self._behaviour(message.address)
        if behaviour is Behaviour.BOUNCE and self._spec.has_devices:
            raise DeadAddressError(Reason.UNREGISTERED, _SIMULATED)
        if behaviour in _ERRORS:
            kind, reason = _ERRORS[behaviour]
            raise kind(reason, _SIMULATED)
        if behaviour is Behaviour.SLOW:
            time.sleep(min(SLOW_S, deadline.remaining_s() / 2))
        return Receipt(provider_id=f"{NAME}-{message.delivery_id}")

    def check_address(self, address: str) -> str:
        """The address as it is. Raises PermanentError (invalid_address) where it stands for nothing."""
        self._behaviour(address)
        return address

    def breaker_key(self, address: str) -> str:
        """The provider's name; nothing is ever told to that breaker."""
        return self.name

    def close(self) -> None:
        """Nothing to give back."""

    def _behaviour(self, address: str) -> Behaviour:
        behaviour = behaviour_of(self._spec.name, address)
        if behaviour is None:
            raise PermanentError(Reason.INVALID_ADDRESS, f"test addresses are for {', '.join(Behaviour)}")
        return behaviour
