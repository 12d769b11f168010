"""FreeSWITCH: everything that knows its words.

What lives here: the Event Socket connection of one call (`connection`, over `channel_commands` and
`channel_events`; words in `wire`, `events`), the channel's data, the dialplan extension that hands
us calls, and legs of our own. It may import
`call.events`, `config` and `media`. Decisions about a call (they are `call`'s), the WebSocket of
mod_audio_stream (`media.stream`) and FusionPBX never belong here.
"""
