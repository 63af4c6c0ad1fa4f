"""This library as the client: every paid request of the Dream Machine API, and the free requests of a session."""

from __future__ import annotations

from luma_async import (
    AudioRequest,
    DreamMachine,
    ExtendRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    Keyframes,
    LumaSession,
    ModifyRequest,
    PollPolicy,
    ReframeRequest,
    UpscaleRequest,
    VideoRequest,
)

URL = "https://e.example/a.jpg"


async def use_everything(base_url, api_key):
    """Submit each kind of paid request in every form, query the generations, and delete one."""
    poll = PollPolicy.fixed(0.1)
    async with LumaSession(api_key, base_url=base_url, dialect=DreamMachine(), poll=poll) as luma:
        source = await luma.run(
            VideoRequest(
                "cat dance",
                keyframes=Keyframes(frame0=ImageKeyframe(URL), frame1=ImageKeyframe(URL)),
                loop=False,
                model="ray-2",
                resolution="720p",
                duration="5s",
                concepts=("dolly_zoom",),
                notify_hook="https://e.example/hook",
            )
        )
        image = ImageReference(URL, weight=0.5)
        requests = [
            VideoRequest("a cat", keyframes=Keyframes(frame1=GenerationKeyframe(source.id))),
            ExtendRequest(source.id, "and on"),
            AudioRequest(source.id, "purring", negative_prompt="barking"),
            UpscaleRequest(source.id, resolution="4k"),
            ImageRequest(
                "a cat",
                image_refs=(image,),
                style_refs=(image,),
                character_refs={"identity0": (URL,)},
                modify_image_ref=image,
                format="png",
                sync=True,
                sync_timeout=1,
            ),
            ReframeRequest(URL, aspect_ratio="1:1", grid_position_x=4, resized_width=64, first_frame=URL),
            ReframeRequest(URL, kind="image", format="jpg", prompt="a garden"),
            ModifyRequest(URL, mode="flex_2", prompt="at night", first_frame=URL),
        ]
        handles = [await luma.submit(request) for request in requests]
        async for outcome in luma.as_completed(handles):
            assert outcome.error is None
        await luma.account.credits()
        await luma.library.concepts()
        await luma.ping()
        listed = [generation.id async for generation in luma.library.all()]
        assert len(await luma.library.list(limit=50, offset=1)) == len(listed) - 1
        await luma.get_many(listed)
        await luma.library.delete(source.id)
    today = DreamMachine(create_path="/generations/video")
    async with LumaSession(api_key, base_url=base_url, dialect=today, poll=poll) as luma:
        await luma.run("a dog", aspect_ratio="9:21")
        assert (await luma.doubts.reconcile()).unresolved == ()
