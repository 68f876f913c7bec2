"""The operations on users: contacts, preferences, the links of mails, inbox."""

from __future__ import annotations

from app.domain.api_key import Scope
from app.domain.users import User
from app.http import inbox, preferences, unsubscribe, users
from app.http.forgotten_view import ForgottenView
from app.http.openapi import examples
from app.http.openapi.links import user_links
from app.http.openapi.operation import Body, Operation, Reply
from app.http.openapi.parameters import CURSOR, ENTRY_ID, LIMIT, TOKEN, UNREAD, USER_ID
from app.http.preferences import PreferencesBody, PreferencesView
from app.http.problems import INVALID, NOT_FOUND, UNAVAILABLE
from app.http.users import UserBody
from app.http.wire import JSON

_OF_USER = user_links("$request.path.user_id")
_MARKED = (Reply(status=200, text="Done.", kind=inbox.Marked),)

OPERATIONS = (
    Operation(
        method="GET",
        path=users.PATH,
        id="showUser",
        tag="users",
        summary="Show a user",
        scope=Scope.READ,
        parameters=(USER_ID,),
        replies=(Reply(status=200, text="The user.", kind=User),),
        problems=(NOT_FOUND, UNAVAILABLE),
    ),
    Operation(
        method="PUT",
        path=users.PATH,
        id="replaceUser",
        tag="users",
        summary="Store a user whole",
        scope=Scope.ADMIN,
        text="`phone` is an E.164 number, `webhook` an http or https URL, `locale` a language tag, "
        "`timezone` an IANA name; `id` may be there if it is the path's. `chat` is a URL such as "
        "`slack://TokenA/TokenB/TokenC`; it is stored and shown sealed, and may be sent back so.",
        parameters=(USER_ID,),
        body=Body(content={JSON: UserBody}, example=examples.USER),
        replies=(
            Reply(status=200, text="Replaced.", kind=User, links=_OF_USER),
            Reply(status=201, text="The user is new.", kind=User, links=_OF_USER),
        ),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="DELETE",
        path=users.PATH,
        id="forgetUser",
        tag="users",
        summary="Forget a user",
        scope=Scope.ADMIN,
        text="Removes contacts, preferences, inbox, devices and the content of all events accepted until now, and "
        "cancels what is not sent yet (`user_forgotten`). The history keeps ids, statuses, reasons and times. A user "
        "that is not stored may be forgotten too; after a 503, repeat it. The first takes more than a second.",
        parameters=(USER_ID,),
        replies=(
            Reply(status=200, text="What was removed, and what is held elsewhere, until when.", kind=ForgottenView),
        ),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="GET",
        path=preferences.PATH,
        id="showPreferences",
        tag="preferences",
        summary="Show what a user wants",
        scope=Scope.READ,
        parameters=(USER_ID,),
        replies=(Reply(status=200, text="The preferences; the defaults where none are stored.", kind=PreferencesView),),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="PUT",
        path=preferences.PATH,
        id="replacePreferences",
        tag="preferences",
        summary="Store what a user wants, whole",
        scope=Scope.ADMIN,
        text="`channels` maps category to channel to wanted; `*` stands for all, and the most special entry decides. "
        "Once this is answered, nothing is decided by the old ones.",
        parameters=(USER_ID,),
        body=Body(content={JSON: PreferencesBody}, example=examples.PREFERENCES),
        replies=(Reply(status=200, text="Replaced.", kind=PreferencesView),),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="GET",
        path=unsubscribe.PATH,
        id="askToTurnOff",
        tag="preferences",
        summary="Ask whether to turn off the category of a mail; changes nothing",
        scope=None,
        parameters=(TOKEN,),
        replies=(Reply(status=200, text="A page with a form.", kind=str, media_type=unsubscribe.HTML),),
    ),
    Operation(
        method="POST",
        path=unsubscribe.PATH,
        id="turnOff",
        tag="preferences",
        summary="Turn off the category of a mail, on all channels",
        scope=None,
        text="What mail programs do with one click (RFC 8058). The body is not looked at.",
        parameters=(TOKEN,),
        replies=(Reply(status=200, text="A page that says so.", kind=str, media_type=unsubscribe.HTML),),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="GET",
        path=inbox.PATH,
        id="listInbox",
        tag="inbox",
        summary="List a user's inbox, newest first",
        scope=Scope.READ,
        parameters=(USER_ID, UNREAD, LIMIT, CURSOR),
        replies=(Reply(status=200, text="A page.", kind=inbox.InboxPage),),
        problems=(INVALID, UNAVAILABLE),
    ),
    Operation(
        method="POST",
        path=f"{inbox.PATH}/read",
        id="markInboxRead",
        tag="inbox",
        summary="Mark all entries as read",
        scope=Scope.ADMIN,
        parameters=(USER_ID,),
        replies=_MARKED,
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="POST",
        path=f"{inbox.PATH}/<entry_id>/read",
        id="markEntryRead",
        tag="inbox",
        summary="Mark one entry as read",
        scope=Scope.ADMIN,
        parameters=(USER_ID, ENTRY_ID),
        replies=_MARKED,
        problems=(UNAVAILABLE,),
    ),
)
