"""The variables of a SIP call, as mod_sofia sets them step by step (captures/conversation.jsonl).

Values are those of a call on one machine; a controller may rely on their names only.
"""

from __future__ import annotations

import uuid

from esl_controller.simulator.freeswitch.events import VERSION, Codec, Profile

_HOST = "127.0.0.1"
_AGENT = f"FreeSWITCH-mod_sofia/{VERSION}~64bit"
_PAYLOADS = {"PCMU": 0, "PCMA": 8, "L16": 98, "opus": 116}


def profile(ident: str, number: str, caller: str) -> Profile:
    """Who calls whom."""
    return Profile(
        ident,
        number,
        caller,
        f"sofia/internal/{caller}@{_HOST}",
        "mod_sofia",
        caller_name=caller,
        username=caller,
        network=_HOST,
    )


def invited(profile: Profile, codec: Codec) -> dict[str, str]:
    """What the INVITE brought."""
    caller, number, tag = profile.caller, profile.number, uuid.uuid4().hex[:13]
    payload = str(_PAYLOADS[codec.name])
    return {
        **_parties(caller, number, tag, profile.created),
        "video_media_flow": "disabled",
        "text_media_flow": "disabled",
        "max_forwards": "70",
        "switch_r_sdp": _sdp(codec, payload, 18862),
        "ep_codec_string": f"CORE_PCM_MODULE.{codec.name}@{codec.rate}h@20i@{codec.bit_rate}b",
        "rtp_use_codec_string": "PCMU,PCMA,L16@16000h@20i,opus",
        "remote_video_media_flow": "inactive",
        "remote_text_media_flow": "inactive",
        "remote_audio_media_flow": "sendrecv",
        "audio_media_flow": "sendrecv",
        "remote_media_ip": _HOST,
        "remote_media_port": "18862",
        "rtp_audio_recv_pt": payload,
        **negotiated(codec),
        "original_read_codec": codec.name,
        "original_read_rate": str(codec.rate),
        "dtmf_type": "rfc2833",
        "endpoint_disposition": "RECEIVED",
    }


def negotiated(codec: Codec) -> dict[str, str]:
    """What an INVITE or a re-INVITE has settled."""
    return {
        "rtp_use_codec_name": codec.name,
        "rtp_use_codec_rate": str(codec.rate),
        "rtp_use_codec_ptime": str(codec.packet_ms),
        "rtp_use_codec_channels": "1",
        "rtp_last_audio_codec_string": f"{codec.name}@{codec.rate}h@{codec.packet_ms}i@1c",
    }


def _parties(caller: str, number: str, tag: str, created: int) -> dict[str, str]:
    return {
        "sip_from_user": caller,
        "sip_from_uri": f"{caller}@{_HOST}",
        "sip_from_host": _HOST,
        "sip_from_user_stripped": caller.lstrip("+"),
        "sip_from_tag": tag,
        "sip_call_id": str(uuid.uuid4()),
        "sip_local_network_addr": _HOST,
        "sip_network_ip": _HOST,
        "sip_network_port": "5060",
        "sip_invite_stamp": str(created),
        "sip_received_ip": _HOST,
        "sip_received_port": "5060",
        "sip_via_protocol": "udp",
        "sip_via_host": _HOST,
        "sip_via_rport": "5060",
        "sofia_profile_name": "internal",
        "sofia_profile_url": f"sip:mod_sofia@{_HOST}:5060",
        "recovery_profile_name": "internal",
        "sip_Remote-Party-ID": f"<sip:{caller}@{_HOST}>;party=calling;screen=yes;privacy=off",
        "sip_cid_type": "rpid",
        "sip_full_via": f"SIP/2.0/UDP {_HOST};rport=5060;branch=z9hG4bK{tag}",
        "sip_full_from": f"<sip:{caller}@{_HOST}>;tag={tag}",
        "sip_full_to": f"<sip:{number}@{_HOST}:5060>",
        "sip_allow": "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REFER, NOTIFY",
        "sip_req_user": number,
        "sip_req_port": "5060",
        "sip_req_uri": f"{number}@{_HOST}:5060",
        "sip_req_host": _HOST,
        "sip_to_user": number,
        "sip_to_port": "5060",
        "sip_to_uri": f"{number}@{_HOST}:5060",
        "sip_to_host": _HOST,
        "sip_contact_user": "mod_sofia",
        "sip_contact_port": "5060",
        "sip_contact_uri": f"mod_sofia@{_HOST}:5060",
        "sip_contact_host": _HOST,
        "sip_user_agent": _AGENT,
    }


def _sdp(codec: Codec, payload: str, port: int) -> str:
    lines = ("v=0", f"o=FreeSWITCH 1 2 IN IP4 {_HOST}", "s=FreeSWITCH", f"c=IN IP4 {_HOST}")
    media = (f"m=audio {port} RTP/AVP {payload} 101", f"a=rtpmap:{payload} {codec.name}")
    return "\r\n".join((*lines, "t=0 0", *media, "a=ptime:20", ""))


def media_started(codec: Codec) -> dict[str, str]:
    """What our own side of the media adds, with the answer or early media."""
    payload = str(_PAYLOADS[codec.name])
    return {
        "rtp_local_sdp_str": _sdp(codec, payload, 32524),
        "local_media_ip": _HOST,
        "local_media_port": "32524",
        "advertised_media_ip": _HOST,
        "rtp_use_timer_name": "soft",
        "rtp_use_pt": payload,
        "rtp_use_ssrc": "2668308259",
        "rtp_2833_send_payload": "101",
        "rtp_2833_recv_payload": "101",
    }


def acknowledged() -> dict[str, str]:
    """What the ACK to our answer brings, some milliseconds later."""
    return {"sip_to_tag": uuid.uuid4().hex[:13], "sip_cseq": "123118909"}


def hung_up_by_caller() -> dict[str, str]:
    """What the caller's BYE brings (captures/caller_hangup.jsonl)."""
    return {
        "sip_reason": 'Q.850;cause=16;text="NORMAL_CLEARING"',
        "sip_term_status": "200",
        "proto_specific_hangup_cause": "sip:200",
        "sip_term_cause": "16",
    }


_RTP_IN = (
    "raw_bytes media_bytes packet_count media_packet_count skip_packet_count jitter_packet_count "
    "dtmf_packet_count cng_packet_count flush_packet_count largest_jb_size flaw_total"
)
_RTP_OUT = (
    "raw_bytes media_bytes packet_count media_packet_count skip_packet_count dtmf_packet_count "
    "cng_packet_count"
)
_RTP_QUALITY = {
    "jitter_min_variance": "0.00",
    "jitter_max_variance": "0.00",
    "jitter_loss_rate": "0.00",
    "jitter_burst_rate": "0.00",
    "mean_interval": "0.00",
    "quality_percentage": "100.00",
    "mos": "4.50",
}


def finished() -> dict[str, str]:
    """The RTP counters of the final report; the stand-in has no RTP and counts nothing."""
    counters = {f"rtp_audio_in_{name}": "0" for name in _RTP_IN.split()}
    counters |= {f"rtp_audio_in_{name}": value for name, value in _RTP_QUALITY.items()}
    counters |= {f"rtp_audio_out_{name}": "0" for name in _RTP_OUT.split()}
    return counters | {"rtp_audio_rtcp_packet_count": "0", "rtp_audio_rtcp_octet_count": "0"}
