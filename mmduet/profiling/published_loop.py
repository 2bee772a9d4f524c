"""PublishedLoop: the published streaming algorithm, the baseline of speed comparisons.

It encodes the whole clip before it plays (here a few frames at a time, since a long clip does not fit in memory) and
projects every cell of a frame. Then it runs one forward pass a frame, with float32 vocabulary logits for each of the
frame's tokens, and a cache that is concatenated each time.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from mmduet.kernels.kv_cache import StreamCache
from mmduet.model.duet import ENCODE_AT_ONCE, DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.policy import FrameScores, Policy
from mmduet.streaming.protocol import UpstreamProtocol
from mmduet.streaming.state import StreamState
from mmduet.trace import DuetTrace, Response


class PublishedLoop:
    """Watches a clip without queries, and keeps responses; the trace is that of a session with ``upstream``."""

    def __init__(
        self,
        model: DuetForConditionalGeneration,
        processor: DuetProcessor,
        *,
        policy: Policy,
        frame_fps: float = 2.0,
        max_new_tokens: int = 200,
    ):
        """Set up the loop; the arguments are those of `DuetSession`."""
        self.model, self.processor, self.policy = model.eval(), processor, policy  # type: ignore[no-untyped-call]
        self.frame_fps, self.max_new_tokens = frame_fps, max_new_tokens
        self.protocol = UpstreamProtocol(processor)

    @torch.inference_mode()
    def run(self, frames: torch.Tensor) -> DuetTrace:
        """Watch frames, uint8 [N, 3, H, W]."""
        self.policy.reset()
        self.cache, self.state = DynamicCache(), StreamState(StreamCache(self.model.config.text_config))
        events: list[FrameScores | Response] = []
        for index, embeds in enumerate(torch.cat([self._encode(some) for some in frames.split(ENCODE_AT_ONCE)])):
            hidden, _ = self._forward(self.protocol.frame(self.state), embeds)
            self.state.last = "frame"
            scores = FrameScores(index / self.frame_fps, *self.model.score_frames(hidden)[-1].tolist())
            events.append(scores)
            if self.policy.need(scores):
                events.append(self._respond(scores.time))
        return DuetTrace.from_events(events, self.cache.get_seq_length())

    def _encode(self, frames: torch.Tensor) -> torch.Tensor:
        pixel_values = self.processor.pixel_values(frames.to(self.model.device)).to(self.model.dtype)
        projected = self.model.projector(self.model.vision_tower(pixel_values))
        return self.model.pool.weights.to(projected) @ projected

    def _forward(self, ids: Sequence[int], embeds: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states [L, H] and float32 logits [L, V] of ids and a frame's embeddings after them."""
        parts = [] if embeds is None else [embeds]
        if ids:
            parts.insert(0, self.model.get_input_embeddings()(torch.tensor(ids, device=self.model.device)))
        hidden = self.model.hidden_states(torch.cat(parts)[None], past_key_values=self.cache, use_cache=True)[0]
        self.state.context.extend([self.processor.image_id] * len(hidden))
        return hidden, self.model.vocabulary_logits(hidden).float()

    def _respond(self, time: float) -> Response:
        generated: list[int] = []
        _, logits = self._forward(self.protocol.response(self.state))
        while True:
            generated.append(int(logits[-1].argmax()))
            if generated[-1] == self.processor.end_id or len(generated) == self.max_new_tokens:
                break
            _, logits = self._forward(generated[-1:])
        self.state.deferred, self.state.last = generated[-1:], "response"
        token_ids = generated[:-1] if generated[-1] == self.processor.end_id else generated
        return Response(time, self.processor.response_text(token_ids), tuple(token_ids))
