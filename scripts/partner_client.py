#!/usr/bin/env python3
"""A partner as an outsider: plays one recharge through RabbitMQ with pika and demands everything that follows from it.

    scripts/partner_client.py http://127.0.0.1:8000 amqp://guest:guest@127.0.0.1:5672/%2f [prefix]

The server runs with the demo data, GENCHARGE_DEV_OTP=1 and AMQP_URL set. The partner is the broker's user of the address.
Exit code: 0 when the recharge was answered on the partner's queue, and told to the customer and to an administrator.
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pika

CUSTOMER, ADMIN, PATIENCE = "9800000001", "9000000001", 30


def call(method, path, token=None, body=None, **headers):
    request = urllib.request.Request(BASE + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", "Bearer " + token)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=10) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def sign_in(phone):
    otp = call("POST", "/auth/login", body={"phone_number": phone})["dev_otp"]
    body = {"phone_number": phone, "otp": otp}
    return call("POST", "/auth/verify-otp-login", body=body)["access_token"]


def eventually(what, ask):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    sys.exit(f"{what}: not within {PATIENCE} s")


def make_partner(admin, user):
    try:
        partner = call("POST", "/partners", admin, {"name": f"Test {user}", "broker_user": user,
                                                    "permissions": {"recharge": True, "wallet_topup": True}})
    except urllib.error.HTTPError as error:
        if json.load(error).get("code") != "duplicate":
            raise
        partner = call("GET", f"/partners?search={user}", admin)["partners"][0]
    body = {"amount": "1000.00"}
    call("POST", f"/partners/{partner['partner_id']}/funding", admin, body, Idempotency_Key=str(uuid.uuid4()))


def main():
    address = urllib.parse.urlparse(AMQP)
    user = urllib.parse.unquote(address.username or "guest")
    make_partner(sign_in(ADMIN), user)

    connection = pika.BlockingConnection(pika.URLParameters(AMQP))
    channel = connection.channel()
    channel.confirm_delivery()
    ident = str(uuid.uuid4())
    event = {"specversion": "1.0", "id": ident, "source": "/partner-client",
             "type": "gencharge.recharge.requested.v1",
             "data": {"phone_number": CUSTOMER, "plan_id": 1}}
    properties = pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2, user_id=user,
                                      message_id=ident)
    channel.basic_publish(PREFIX + ".commands", "recharge.requested", json.dumps(event), properties, mandatory=True)
    print("published", ident)

    def answered():
        method, _, body = channel.basic_get(f"{PREFIX}.results.{user}", auto_ack=True)
        answer = json.loads(body) if method else None
        return answer if answer and answer["data"].get("request", {}).get("id") == ident else None

    answer = eventually("an answer on the partner's queue", answered)
    assert answer["type"] == "gencharge.recharge.completed.v1", answer
    print("answered", answer["type"], "transaction", answer["data"]["txn_id"])
    connection.close()

    txn = answer["data"]["txn_id"]
    for who, phone in (("customer", CUSTOMER), ("administrator", ADMIN)):
        token = sign_in(phone)

        def told():
            notices = call("GET", "/notification/my", token)
            return [notice for notice in notices if notice["attachments"] and f'"txn_id": {txn},' in
                    json.dumps(notice["attachments"]) + ","]

        print("told", who + ":", eventually(f"a notice for the {who}", told)[0]["description"])


BASE, AMQP = sys.argv[1].rstrip("/"), sys.argv[2]
PREFIX = sys.argv[3] if len(sys.argv) > 3 else "gencharge"
main()
