"""On the path of a process: lm-evaluation-harness without its own tasks, indexed for 20 seconds."""

import functools

from lm_eval.tasks import TaskManager

TaskManager.__init__ = functools.partialmethod(TaskManager.__init__, include_defaults=False)
