"""What a stock S3 client does, case by case: each answers a short text that two servers can be compared by.

Run as `python s3_cases.py ADDRESS ACCESS SECRET`: prints one JSON object, case → outcome. Needs boto3.
"""
import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request

import boto3
from botocore.awsrequest import AWSRequest
from botocore.auth import SigV4Auth
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

PART = 5 << 20


def client(address, access, secret, **more):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, signature_version="s3v4", **more)
    return boto3.client("s3", endpoint_url=address, aws_access_key_id=access, aws_secret_access_key=secret,
                        region_name="us-east-1", config=config)


def outcome(call):
    """What the call answers, or the status and the code it fails with."""
    try:
        return call()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return f"{status} {error.response['Error'].get('Code')}"


def fetch(url, method="GET", body=None, headers=None):
    """A plain HTTP client: the status, and of an error the code."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return f"{answer.status} {len(answer.read())}"
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        code = text.split("<Code>")[1].split("</Code>")[0] if "<Code>" in text else ""
        return f"{error.code} {code}"


class Cases:
    def __init__(self, address, access, secret):
        self.address, self.access, self.secret = address, access, secret
        self.s3 = client(address, access, secret)
        self.bucket = "cases-" + os.urandom(4).hex()
        self.s3.create_bucket(Bucket=self.bucket)

    def put(self, key, body, **more):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def get(self, key, **more):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **more)

    def case_put_tells_the_md5(self):
        return self.put("a", b"content")["ETag"] == f'"{hashlib.md5(b"content").hexdigest()}"'

    def case_get(self):
        self.put("a", b"content")
        return self.get("a")["Body"].read().decode()

    def case_get_empty(self):
        self.put("empty", b"")
        return len(self.get("empty")["Body"].read())

    def case_put_replaces(self):
        self.put("b", b"one")
        self.put("b", b"two")
        return self.get("b")["Body"].read().decode()

    def case_headers_are_kept(self):
        self.put("h", b"x", ContentType="text/plain", CacheControl="no-cache", Metadata={"color": "red"})
        head = self.s3.head_object(Bucket=self.bucket, Key="h")
        return [head["ContentType"], head["CacheControl"], head["Metadata"], head["ContentLength"]]

    def case_metadata_in_capitals(self):
        self.put("h2", b"x", Metadata={"FooBar": "A  b"})
        return self.s3.head_object(Bucket=self.bucket, Key="h2")["Metadata"]

    def case_many_headers(self):
        self.put("h3", b"x", Metadata={f"k{index}": str(index) for index in range(60)})
        return len(self.s3.head_object(Bucket=self.bucket, Key="h3")["Metadata"])

    def _copy(self, source, target, **more):
        return self.s3.copy_object(Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source}, **more)

    def case_copy(self):
        etag = self.put("from +%/ü", b"content", ContentType="text/css", Metadata={"a": "b"})["ETag"]
        answer = self._copy("from +%/ü", "to")["CopyObjectResult"]
        got = self.get("to")
        return [answer["ETag"] == etag, got["Body"].read().decode(), got["ContentType"], got["Metadata"]]

    def case_copy_onto_itself(self):
        self.put("self", b"content", Metadata={"a": "b"})
        refused = outcome(lambda: self._copy("self", "self"))
        self._copy("self", "self", MetadataDirective="REPLACE", Metadata={"c": "d"}, ContentType="text/plain")
        got = self.get("self")
        return [refused, got["Body"].read().decode(), got["ContentType"], got["Metadata"]]

    def case_copy_missing(self):
        return self._copy("never", "to")

    def case_copy_if_match(self):
        etag = self.put("from", b"content")["ETag"]
        return [outcome(lambda: self._copy("from", "to3", CopySourceIfMatch='"0123"')),
                self._copy("from", "to3", CopySourceIfMatch=etag)["ResponseMetadata"]["HTTPStatusCode"]]

    def case_copy_parts(self):
        content = os.urandom(PART + 100)
        self.put("from", content)
        upload = self._begin("to4")
        parts = []
        for number, where in enumerate((f"bytes=0-{PART - 1}", f"bytes={PART}-{PART + 99}"), 1):
            answer = self.s3.upload_part_copy(Bucket=self.bucket, Key="to4", UploadId=upload, PartNumber=number,
                                              CopySource={"Bucket": self.bucket, "Key": "from"}, CopySourceRange=where)
            parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        outside = outcome(lambda: self.s3.upload_part_copy(
            Bucket=self.bucket, Key="to4", UploadId=upload, PartNumber=3, CopySource={"Bucket": self.bucket, "Key": "from"},
            CopySourceRange=f"bytes={PART + 100}-{PART + 200}"))
        self._complete("to4", upload, parts)
        return [outside, self.get("to4")["Body"].read() == content]

    def case_range(self):
        self.put("r", b"0123456789")
        answer = self.get("r", Range="bytes=2-4")
        return [answer["Body"].read().decode(), answer["ContentRange"], answer["ResponseMetadata"]["HTTPStatusCode"]]

    def case_range_from_the_end(self):
        self.put("r", b"0123456789")
        return self.get("r", Range="bytes=-3")["Body"].read().decode()

    def case_range_outside(self):
        self.put("r", b"0123456789")
        return self.get("r", Range="bytes=100-200")

    def case_if_match(self):
        self.put("c", b"content")
        return self.get("c", IfMatch='"0123"')

    def case_if_none_match(self):
        etag = self.put("c", b"content")["ETag"]
        return self.get("c", IfNoneMatch=etag)

    def case_put_only_new(self):
        self.put("new", b"1", IfNoneMatch="*")
        return self.put("new", b"2", IfNoneMatch="*")

    def case_missing_key(self):
        return self.get("nothing")

    def case_missing_key_head(self):
        return self.s3.head_object(Bucket=self.bucket, Key="nothing")

    def case_missing_bucket(self):
        return self.s3.get_object(Bucket="no-such-bucket-here", Key="a")

    def case_head_bucket(self):
        return self.s3.head_bucket(Bucket=self.bucket)["ResponseMetadata"]["HTTPStatusCode"]

    def case_head_missing_bucket(self):
        return self.s3.head_bucket(Bucket="no-such-bucket-here")

    def case_create_bucket_again(self):
        return self.s3.create_bucket(Bucket=self.bucket)["ResponseMetadata"]["HTTPStatusCode"]

    def case_list_buckets(self):
        return self.bucket in [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]

    def case_delete(self):
        self.put("d", b"x")
        self.s3.delete_object(Bucket=self.bucket, Key="d")
        return self.get("d")

    def case_delete_nothing(self):
        return self.s3.delete_object(Bucket=self.bucket, Key="never")["ResponseMetadata"]["HTTPStatusCode"]

    def case_delete_many(self):
        for index in range(5):
            self.put(f"many/{index}", b"x")
        objects = [{"Key": f"many/{index}"} for index in range(5)] + [{"Key": "many/absent"}]
        answer = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": objects})
        left = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="many/")["KeyCount"]
        return [sorted(item["Key"] for item in answer["Deleted"]), left]

    def case_delete_full_bucket(self):
        self.put("full", b"x")
        return self.s3.delete_bucket(Bucket=self.bucket)

    def case_delete_bucket(self):
        name = "gone-" + os.urandom(4).hex()
        self.s3.create_bucket(Bucket=name)
        return self.s3.delete_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"]

    def _listed(self):
        name = "list-" + os.urandom(4).hex()
        self.s3.create_bucket(Bucket=name)
        for key in ("a!b", "a/b", "a/c/d", "a/c/e", "a0", "b/x", "c d+e&f", "ü/ß", "z"):
            self.s3.put_object(Bucket=name, Key=key, Body=key.encode())
        return name

    def case_list(self):
        answer = self.s3.list_objects_v2(Bucket=self._listed())
        return [answer["KeyCount"], [(item["Key"], item["Size"]) for item in answer["Contents"]]]

    def case_list_prefix(self):
        answer = self.s3.list_objects_v2(Bucket=self._listed(), Prefix="a/c")
        return [item["Key"] for item in answer["Contents"]]

    def case_list_delimiter(self):
        answer = self.s3.list_objects_v2(Bucket=self._listed(), Delimiter="/")
        return [[item["Key"] for item in answer["Contents"]], [item["Prefix"] for item in answer["CommonPrefixes"]]]

    def case_list_prefix_and_delimiter(self):
        answer = self.s3.list_objects_v2(Bucket=self._listed(), Delimiter="/", Prefix="a/")
        return [[item["Key"] for item in answer["Contents"]], [item["Prefix"] for item in answer["CommonPrefixes"]]]

    def case_list_start_after(self):
        answer = self.s3.list_objects_v2(Bucket=self._listed(), StartAfter="a/c/d")
        return [item["Key"] for item in answer["Contents"]]

    def _pages(self, call, name, **more):
        pages = self.s3.get_paginator(call).paginate(Bucket=name, PaginationConfig={"PageSize": 3}, **more)
        return [[item["Key"] for item in page.get("Contents", [])]
                + [item["Prefix"] for item in page.get("CommonPrefixes", [])] for page in pages]

    def case_list_pages(self):
        return self._pages("list_objects_v2", self._listed())

    def case_list_pages_with_delimiter(self):
        return self._pages("list_objects_v2", self._listed(), Delimiter="/")

    def case_list_1_pages(self):
        return self._pages("list_objects", self._listed())

    def case_list_1_pages_with_delimiter(self):
        return self._pages("list_objects", self._listed(), Delimiter="/")

    def case_list_nothing(self):
        return self.s3.list_objects_v2(Bucket=self.bucket, Prefix="nothing/")["KeyCount"]

    def case_list_missing_bucket(self):
        return self.s3.list_objects_v2(Bucket="no-such-bucket-here")

    def _begin(self, key):
        return self.s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]

    def _part(self, key, upload, number, body):
        answer = self.s3.upload_part(Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(self, key, upload, parts):
        return self.s3.complete_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload,
                                                 MultipartUpload={"Parts": parts})

    def case_multipart(self):
        upload = self._begin("m")
        one, two = os.urandom(PART), b"the end"
        parts = [self._part("m", upload, 1, one), self._part("m", upload, 2, two)]
        etag = self._complete("m", upload, parts)["ETag"]
        sums = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in (one, two))).hexdigest()
        return [self.get("m")["Body"].read() == one + two, etag == f'"{sums}-2"']

    def case_multipart_part_again(self):
        upload = self._begin("m2")
        self._part("m2", upload, 1, b"wrong")
        self._complete("m2", upload, [self._part("m2", upload, 1, b"right")])
        return self.get("m2")["Body"].read().decode()

    def case_multipart_lists(self):
        upload = self._begin("m3")
        self._part("m3", upload, 1, b"one")
        self._part("m3", upload, 4, b"four")
        parts = self.s3.list_parts(Bucket=self.bucket, Key="m3", UploadId=upload)["Parts"]
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix="m3")["Uploads"]
        self.s3.abort_multipart_upload(Bucket=self.bucket, Key="m3", UploadId=upload)
        left = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix="m3").get("Uploads", [])
        return [[(part["PartNumber"], part["Size"]) for part in parts], [item["Key"] for item in uploads], left]

    def case_multipart_aborted(self):
        upload = self._begin("m4")
        self.s3.abort_multipart_upload(Bucket=self.bucket, Key="m4", UploadId=upload)
        return self._part("m4", upload, 1, b"late")

    def case_multipart_wrong_etag(self):
        upload = self._begin("m5")
        self._part("m5", upload, 1, b"one")
        return self._complete("m5", upload, [{"PartNumber": 1, "ETag": '"' + 32 * "0" + '"'}])

    def case_multipart_small_part(self):
        upload = self._begin("m6")
        return self._complete("m6", upload, [self._part("m6", upload, 1, b"small"), self._part("m6", upload, 2, b"x")])

    def case_multipart_wrong_order(self):
        upload = self._begin("m7")
        parts = [self._part("m7", upload, number, bytes(PART)) for number in (1, 2)]
        return self._complete("m7", upload, parts[::-1])

    def case_wrong_secret(self):
        return client(self.address, self.access, "wrong-secret").list_buckets()

    def case_wrong_md5(self):
        url = f"{self.address}/{self.bucket}/md5"
        return self._signed("PUT", url, b"content", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})

    def case_wrong_crc(self):
        return self.put("crc", b"content", ChecksumCRC32="AAAAAA==")

    def case_right_checksums(self):
        return [self.put("sum", b"content", ChecksumAlgorithm=kind)["ResponseMetadata"]["HTTPStatusCode"]
                for kind in ("CRC32", "SHA1", "SHA256")]

    def _signed(self, method, url, body, headers=None, change=None):
        request = AWSRequest(method, url, data=body, headers=headers or {})
        request.headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
        SigV4Auth(Credentials(self.access, self.secret), "s3", "us-east-1").add_auth(request)
        return fetch(url, method, change if change is not None else body, dict(request.headers))

    def case_other_body_than_signed(self):
        kept = self._signed("PUT", f"{self.address}/{self.bucket}/body", b"signed!", change=b"changed")
        return [kept, outcome(lambda: self.get("body"))]

    def case_unsigned(self):
        self.put("u", b"x")
        return fetch(f"{self.address}/{self.bucket}/u")

    def _url(self, what, key, seconds=60):
        return self.s3.generate_presigned_url(what, {"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds)

    def case_presigned_get(self):
        self.put("p", b"content")
        return fetch(self._url("get_object", "p"))

    def case_presigned_put(self):
        answer = fetch(self._url("put_object", "p2"), "PUT", b"content")
        return [answer, self.get("p2")["Body"].read().decode()]

    def case_presigned_other_method(self):
        return fetch(self._url("get_object", "p3"), "PUT", b"content")

    def case_presigned_altered(self):
        self.put("p4", b"content")
        return fetch(self._url("get_object", "p4").replace("/p4?", "/p5?"))

    def case_presigned_longer(self):
        self.put("p4", b"content")
        return fetch(self._url("get_object", "p4").replace("Expires=60", "Expires=6000"))

    def case_presigned_expired(self):
        self.put("p4", b"content")
        url = self._url("get_object", "p4", 1)
        answer = fetch(url)
        deadline = time.monotonic() + 10
        while answer == "200 7" and time.monotonic() < deadline:
            answer = fetch(url)  # until its second is over
        return answer

    def case_keys(self):
        keys = ["with space", "plus+and&more", "a=b?c#d", "ünïcode/☃", "quote'\"<>", "dot/.hidden", "slash//twice"]
        for key in keys:
            self.put("k/" + key, key.encode())
        return [self.get("k/" + key)["Body"].read().decode() == key for key in keys]

    def case_metadata_of_multipart(self):
        upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key="mm", ContentType="text/css",
                                                 Metadata={"a": "b"})["UploadId"]
        self._complete("mm", upload, [self._part("mm", upload, 1, b"x")])
        head = self.s3.head_object(Bucket=self.bucket, Key="mm")
        return [head["ContentType"], head["Metadata"]]

    def case_transfer_manager(self):
        path = os.path.join("/tmp", self.bucket)
        content = os.urandom(20 << 20)
        with open(path, "wb") as file:
            file.write(content)
        self.s3.upload_file(path, self.bucket, "large")
        self.s3.download_file(self.bucket, "large", path)
        with open(path, "rb") as file:
            same = file.read() == content
        os.unlink(path)
        return same


def run(address, access, secret):
    cases = Cases(address, access, secret)
    results = {}
    for name in sorted(name for name in dir(cases) if name.startswith("case_")):
        try:
            results[name[5:]] = outcome(getattr(cases, name))
        except Exception as error:  # pylint: disable=broad-except
            results[name[5:]] = f"{type(error).__name__}: {error}"
        if isinstance(results[name[5:]], dict):
            results[name[5:]] = "done"
    return results


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:4]), ensure_ascii=False))
