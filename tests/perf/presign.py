"""Makes a bucket on an S3 server and prints presigned URLs, for PUT and GET in turn: presign.py PORT COUNT (boto3)."""
import sys
import time

import boto3
from botocore.config import Config

client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", aws_access_key_id="AK", aws_secret_access_key="SK",
                      region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"))
deadline = time.monotonic() + 60
while True:  # its port is open before it can serve
    try:
        client.create_bucket(Bucket="bench")
        break
    except Exception:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.2)
for index in range(int(sys.argv[2])):
    for method in ("put_object", "get_object"):
        print(client.generate_presigned_url(method, Params={"Bucket": "bench", "Key": f"object-{index}"}, ExpiresIn=3600))
