"""Every attribute network over ONNX: the card names crops, tensors and what the numbers mean. A card may have several networks (roles)."""

from __future__ import annotations

from collections.abc import Sequence

from ..cards import Card, OutputSpec
from ..errors import CardError
from ..runtime import Session, SessionOptions, open_session, run_batched, to_blob
from ..types import FloatArray, View
from . import Answer
from .heads import activated, average, results

__all__ = ["OnnxAttributes"]


class OnnxAttributes:
    """One or several networks, each with one crop, and the outputs that the card names."""

    def __init__(self, card: Card, session_options: SessionOptions) -> None:
        self.card = card
        roles = [item.role for item in card.input]
        if not roles or len(set(roles)) != len(roles) or {item.role for item in card.output} - set(roles):
            raise CardError(
                f"card {card.name}: each network (role) needs one [[input]], and each [[output]] the role of one; roles: {', '.join(roles)}"
            )
        self._sessions = {role: open_session(card, role, session_options) for role in roles}
        self._tensors = {role: self._named(role) for role in roles}
        self._by_attribute: dict[str, list[OutputSpec]] = {}
        for item in card.output:
            self._by_attribute.setdefault(item.attribute or item.name, []).append(item)
        for attribute, group in self._by_attribute.items():
            if len(group) > 1 and any(item.combine != "mean" for item in group):
                raise CardError(f'card {card.name}: {attribute} has {len(group)} outputs; say combine = "mean"')

    def _named(self, role: str) -> list[str]:
        """The tensors that are wanted of a network, in the order of the card."""
        session: Session = self._sessions[role]
        wanted = [_tensor(item, session) for item in self.card.output if item.role == role]
        for name in wanted:
            if name not in session.outputs:
                raise CardError(f"card {self.card.name}: the network has no output {name!r}; it has {', '.join(session.outputs)}")
        return list(dict.fromkeys(wanted))

    def predict(self, views: Sequence[View]) -> list[Answer]:
        """One answer for each view."""
        if not views:
            return []
        raw: dict[tuple[str, str], FloatArray] = {}
        for index, spec in enumerate(self.card.input):
            blob = to_blob([view.crops[index].pixels for view in views], spec)
            names = self._tensors[spec.role]
            for name, numbers in zip(names, run_batched(self._sessions[spec.role], blob, outputs=names), strict=True):
                raw[spec.role, name] = numbers
        answers: list[dict[str, object]] = [{} for _ in views]
        for attribute, group in self._by_attribute.items():
            parts = [
                activated(raw[item.role, _tensor(item, self._sessions[item.role])].reshape(len(views), -1), item, self.card.name) for item in group
            ]
            for answer, result in zip(answers, results(average(parts), group[0], self.card.name), strict=True):
                answer[attribute] = result
        return answers  # type: ignore[return-value]


def _tensor(output: OutputSpec, session: Session) -> str:
    """The tensor of an output: as the card says ("#1" is the second of the network), else its name, else the only one there is."""
    if output.tensor.startswith("#") and output.tensor[1:].isdigit() and int(output.tensor[1:]) < len(session.outputs):
        return session.outputs[int(output.tensor[1:])]
    if output.tensor or output.name in session.outputs or len(session.outputs) > 1:
        return output.tensor or output.name
    return session.outputs[0]
