"""Audio: frames, resampling, playout, WebSocket in, UDP lane out; knows no call control."""
