"""The operations on a user's devices."""

from __future__ import annotations

from app.domain.api_key import Scope
from app.http import devices
from app.http.openapi import examples
from app.http.openapi.operation import Body, Operation, Reply
from app.http.openapi.parameters import DEVICE_ID, USER_ID
from app.http.problems import UNAVAILABLE
from app.http.wire import JSON

OPERATIONS = (
    Operation(
        method="GET",
        path=devices.PATH,
        id="listDevices",
        tag="devices",
        summary="List a user's devices",
        scope=Scope.READ,
        parameters=(USER_ID,),
        replies=(Reply(status=200, text="All of them, without their tokens.", kind=devices.DeviceList),),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="POST",
        path=devices.PATH,
        id="registerDevice",
        tag="devices",
        summary="Register a device for push",
        scope=Scope.ADMIN,
        text="`token` is what the push service gave the app; a token is of one user at a time, so that of another it "
        "is no more. The same token may be sent again, as an app does at each start. APNs tokens are written in "
        "hexadecimal digits; a browser's is its push subscription as JSON (`JSON.stringify(subscription)`), with an "
        "https endpoint, `keys.p256dh` of 65 bytes and `keys.auth` of 16. A user has at most "
        "`NOTIFY_DEVICES_MAX`: a further one takes the place of the one registered longest ago.",
        parameters=(USER_ID,),
        body=Body(content={JSON: devices.DeviceBody}, example=examples.DEVICE),
        replies=(
            Reply(status=200, text="It was registered before.", kind=devices.DeviceView),
            Reply(status=201, text="It is new to this user.", kind=devices.DeviceView),
        ),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="DELETE",
        path=f"{devices.PATH}/<device_id>",
        id="removeDevice",
        tag="devices",
        summary="Remove a device",
        scope=Scope.ADMIN,
        parameters=(USER_ID, DEVICE_ID),
        replies=(Reply(status=200, text="Done.", kind=devices.Removed),),
        problems=(UNAVAILABLE,),
    ),
)
