"""A node with ROS's managed life cycle: configure loads, activate works, deactivate stops, cleanup
frees.

It activates itself unless ``autostart`` is false; then ``ros2 lifecycle`` or a lifecycle manager
does. Transitions run in the executor's thread.
"""

from __future__ import annotations

import threading
import traceback
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn

from vla_inference_ros.model.device import free_memory
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.nodes.parameters import Config, ParameterError
from vla_inference_ros.nodes.vla_node import StartError, VlaNode

_DEACTIVATION_LIMIT = 30.0  # that a step of the model may still take [s]


class ManagedNode(LifecycleNodeMixin, VlaNode[Config]):
    """Fill in ``load``, ``unload`` and ``work``, and call ``manage`` at the end of ``__init__``."""

    def __init__(self, name: str, config_type: type[Config], **node_arguments: Any) -> None:
        VlaNode.__init__(self, name, config_type, **node_arguments)
        self._active = False
        self._error: Exception | None = None
        self._starting = False
        LifecycleNodeMixin.__init__(self)
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._change_state_or_refuse

    def load(self) -> None:
        """Make the model ready; raises ModelError."""
        raise NotImplementedError

    def unload(self) -> None:
        """Drop the model and all that was taken in."""
        raise NotImplementedError

    def work(self, stopping: threading.Event) -> None:
        """The worker's body while the node is active."""
        raise NotImplementedError

    @property
    def is_inactive(self) -> bool:
        """Whether it is not active."""
        return not self._active

    def start(self) -> None:
        """Configure and activate, if that is not left to others."""
        if not getattr(self.config, "autostart", True):
            self.get_logger().info("not started: configure and activate it with ros2 lifecycle set")
            return
        self._starting = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() is not TransitionCallbackReturn.SUCCESS:
                raise StartError(str(self._error)) from self._error
        self._starting = False

    def _change_state_or_refuse(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        """Answer a request for a transition; Jazzy's rclpy raises where there is none, which would
        end the node.
        """
        try:
            return self._change_state(request, response)
        except RuntimeError as error:
            self.get_logger().error(f"no such transition from the present state: {error}")
            response.success = False
            return response

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; the node stays unconfigured if that fails."""
        try:
            self.load()
        except (ModelError, StartError, ParameterError) as error:
            self._error = error
            self.unload()
            if not self._starting:  # else the end of the process says it
                self.get_logger().error(f"cannot be configured: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy would drop it without a word
            self._error = error
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to work."""
        self._active = True
        self.add_worker(f"{self.get_name()} model", self.work)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to work, once the step that is being computed is done."""
        if not self.stop_workers(_DEACTIVATION_LIMIT):
            # No thread can be made to end, but the process can, and be restarted.
            self.get_logger().fatal(
                f"the model is still busy after {_DEACTIVATION_LIMIT:g} s: the process ends"
            )
            self.finished, self.exit_status = True, 1
            return TransitionCallbackReturn.ERROR
        self._active = False
        self.publish_reports()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model's memory."""
        self.unload()
        free_memory()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the process."""
        self.finished = True
        return super().on_shutdown(state)
