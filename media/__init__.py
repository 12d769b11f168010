"""Audio: frames, resampling, playout, the WebSocket in and the UDP lane out. Knows nothing of call control."""
