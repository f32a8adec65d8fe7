"""Numbers that a run must not go on with: a loss that is no number, or one that jumps.

Nothing is masked: the run stops, what is said names the batch, and no checkpoint is written of
weights that such a batch has touched.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from steep.core.errors import UserError
from steep.training.config import OptimizationConfig

REMEMBERED_STEPS = 20


@dataclass
class LossGuard:
    """Looks at every step's loss and gradient norm.

    Args:
        settings: The settings of the run.
    """

    settings: OptimizationConfig
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_STEPS))

    def look(self, step: int, loss: float, norm: float, batch: Callable[[], str]) -> None:
        """Take a step's numbers.

        Args:
            step: From 1.
            loss: Nats a token.
            norm: Of the gradient, before clipping.
            batch: Says where the step's rows come from.

        Raises:
            UserError: A number is not finite, or the loss has jumped.
        """
        section, max_loss_jump = self.settings.section, self.settings.max_loss_jump
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise UserError(
                f"The loss is {loss} and the gradient norm {norm} at step {step}.",
                where=f"training {batch()}",
                hint=f"lower {section}.learning_rate; the last good checkpoint is kept",
            )
        if max_loss_jump is not None and len(self._losses) == REMEMBERED_STEPS:
            usual = sum(self._losses) / REMEMBERED_STEPS
            if loss > usual + max_loss_jump:
                raise UserError(
                    f"The loss jumped to {loss:.3f} at step {step}.",
                    where=f"training {batch()}",
                    expected=f"at most {max_loss_jump} nats above {usual:.3f}, the mean of "
                    f"the {REMEMBERED_STEPS} steps before",
                    hint=f"look at these texts, or raise {section}.max_loss_jump; the last good "
                    "checkpoint is kept",
                )
        self._losses.append(loss)
