# Writes files, each as a whole or not at all, with owner and mode from the
# beginning; removes those of an earlier time that are not among them.
import base64, grp, json, os, pwd, sys

LIST = "/var/lib/atelier/files"


def known():
    try:
        with open(LIST) as f:
            return set(f.read().splitlines())
    except FileNotFoundError:
        return set()


def note(paths):
    with open(LIST + ".new", "w") as f:
        f.write("".join(p + "\n" for p in sorted(paths)))
    os.replace(LIST + ".new", LIST)


try:
    files = [
        (f["path"], int(f["mode"], 8), f["owner"], base64.b64decode(f["content"], validate=True))
        for f in json.load(sys.stdin)["files"]
    ]
except Exception as e:  # whose words may tell what was read
    sys.exit("the secret is not as Deploy writes it (%s)" % type(e).__name__)
before, paths = known(), {f[0] for f in files}
note(before | paths)
for path, mode, owner, content in files:
    user, group = owner.split(":")
    try:
        uid, gid = pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError:
        sys.exit("%s is to be %s, whom this host does not know" % (path, owner))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = path + ".atelier-new"
    if os.path.lexists(new):
        os.remove(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as f:
        os.fchown(fd, uid, gid)
        os.fchmod(fd, mode)
        f.write(content)
    os.replace(new, path)
for path in before - paths:
    if os.path.lexists(path):
        os.remove(path)
note(paths)
