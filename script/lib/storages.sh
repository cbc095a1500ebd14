# shellcheck shell=bash
# Sourced after common.sh and servers.sh. Starts storages for backups on the loopback, for scripts that prove something about them:
#   start_s3 FOLDER PORT     SeaweedFS with one bucket, `havre`, for $S3_KEY_ID and $S3_KEY. It takes eight ports from PORT on
#   start_sshd FOLDER PORT   OpenSSH with SFTP for this user, who has the key FOLDER/user; files belong below FOLDER/files
#   stop_storages            ends both, by process id
# The folder has to be there. Nothing listens on another address than 127.0.0.1.

S3_KEY_ID=HAVRETESTKEYID
S3_KEY=${S3_KEY:-havre-test-secret-access-key}
S3_BUCKET=havre
storages=()

start_s3() {
  local folder=$1 port=$2 weed=$HAVRE_SERVERS_DIR/seaweedfs/weed name at=$2 ports=()
  printf '{"identities":[{"name":"havre","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Admin","Read","Write","List"]}]}' \
    "$S3_KEY_ID" "$S3_KEY" > "$folder/s3.json"
  for name in s3.port s3.port.grpc master.port master.port.grpc volume.port volume.port.grpc filer.port filer.port.grpc; do
    ports+=("-$name=$at")
    at=$((at + 1))
  done
  (cd "$folder" && exec "$weed" -logdir="$folder" server -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -s3 -s3.iam=false -master.volumeSizeLimitMB=64 -volume.max=40 \
    -master.telemetry=false "-dir=$folder" "-s3.config=$folder/s3.json" "${ports[@]}" -s3.port.iceberg=0 -s3.port.lance=0) \
    > "$folder/log" 2>&1 < /dev/null &
  storages+=("$!")
  s3_at=http://127.0.0.1:$port
  wait_until 60 s3 PUT "" || die "SeaweedFS made no bucket: $(tail -n 3 "$folder/log")"
}

# s3 METHOD KEY [CURL_ARGUMENT...]: one request, signed; the key begins below the bucket. Fails on anything but 2xx.
# A body needs its own header (x-amz-content-sha256: UNSIGNED-PAYLOAD), since this curl does not hash it.
s3() {
  curl -sS --fail --max-time 60 --user "$S3_KEY_ID:$S3_KEY" --aws-sigv4 aws:amz:us-east-1:s3 -X "$1" "${@:3}" "$s3_at/$S3_BUCKET${2:+/$2}"
}

start_sshd() {
  local folder=$1 port=$2 name
  for name in host user; do ssh-keygen -q -t ed25519 -N '' -C tests -f "$folder/$name"; done
  mkdir -p "$folder/files"
  # Where it locks its helpers up; made by its unit elsewhere.
  [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
  cat > "$folder/sshd_config" <<CONFIG
Port $port
ListenAddress 127.0.0.1
HostKey $folder/host
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile $folder/user.pub
MaxStartups 200
DisableForwarding yes
PermitTTY no
PermitUserRC no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
CONFIG
  /usr/sbin/sshd -D -e -f "$folder/sshd_config" > "$folder/log" 2>&1 < /dev/null &
  storages+=("$!")
  printf '[127.0.0.1]:%s %s\n' "$port" "$(cat "$folder/host.pub")" > "$folder/known_hosts"
  # shellcheck disable=SC2034  # for whoever sources this
  sftp_command="ssh -F /dev/null -i $folder/user -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
-o UserKnownHostsFile=$folder/known_hosts -p $port $(id -un)@127.0.0.1 -s sftp"
  # shellcheck disable=SC2034  # for whoever sources this
  ssh_fingerprint=$(ssh-keygen -lf "$folder/host.pub" | cut -d' ' -f2)
  wait_until 30 bash -c ": < /dev/tcp/127.0.0.1/$port" || die "sshd does not listen: $(tail -n 3 "$folder/log")"
}

stop_storages() {
  local pid
  for pid in "${storages[@]}"; do
    # Nothing they keep is wanted any more, and a graceful end takes half a minute.
    kill -9 "$pid" 2> /dev/null || continue
    wait "$pid" 2> /dev/null || true
  done
  storages=()
}
