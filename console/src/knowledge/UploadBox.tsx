import { CloseOutlined, InboxOutlined, LinkOutlined } from "@ant-design/icons";
import { Alert, Button, Input, Progress, Space, Upload as UploadField } from "antd";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";

import { useTexts } from "../i18n";
import { addAddress } from "./api";
import { failureText } from "./failure";
import { isOver, type Upload, Uploads } from "./uploads";

const uploads = new Uploads();
// Of the bar: sending a file is the first part of the way, reading it the rest.
const SENT_SHARE = 0.3;

interface Props {
  base: string;
  /** Called when a job has ended, for then there may be more documents. */
  onAdded: () => void;
}

export function UploadBox({ base, onAdded }: Props) {
  const t = useTexts().knowledge;
  const all = useSyncExternalStore(uploads.subscribe, uploads.snapshot);
  const own = all.filter((upload) => upload.base === base);
  const over = own.filter(isOver).length;
  const [address, setAddress] = useState("");
  const counted = useRef(over);

  useEffect(() => {
    if (over > counted.current) onAdded();
    counted.current = over;
  }, [over, onAdded]);

  function add() {
    const url = address.trim();
    if (url === "") return;
    uploads.follow(base, url, () => addAddress(base, url));
    setAddress("");
  }

  return (
    <div className="upload-box">
      <UploadField.Dragger
        multiple
        showUploadList={false}
        aria-label={t.dropHere}
        // Sent by `uploads`, which goes on when this is not shown any more.
        beforeUpload={(file) => {
          uploads.add(base, file, file.webkitRelativePath || file.name);
          return false;
        }}
      >
        <p className="drop-icon">
          <InboxOutlined />
        </p>
        <p>{t.dropHere}</p>
        <p className="hint">{t.dropHint}</p>
      </UploadField.Dragger>
      <Space.Compact className="wide">
        <Input
          prefix={<LinkOutlined />}
          type="url"
          value={address}
          placeholder="https://"
          aria-label={t.address}
          onChange={(event) => setAddress(event.target.value)}
          onPressEnter={add}
        />
        <Button disabled={address.trim() === ""} onClick={add}>
          {t.addAddress}
        </Button>
      </Space.Compact>
      {own.length > 0 && (
        <section aria-label={t.uploads}>
          <ul className="uploads">
            {own.map((upload) => (
              <UploadRow key={upload.id} upload={upload} />
            ))}
          </ul>
          {over > 0 && (
            <Button size="small" onClick={() => uploads.clear(base)}>
              {t.clearUploads}
            </Button>
          )}
        </section>
      )}
    </div>
  );
}

function UploadRow({ upload }: { upload: Upload }) {
  const texts = useTexts();
  const t = texts.knowledge;
  const over = isOver(upload);
  const lines = upload.job?.report ?? [];
  const failed = lines.filter(({ outcome }) => outcome === "failed");
  const partly = lines.filter(({ warnings }) => warnings.length > 0);
  const wrong = upload.error !== undefined || upload.job?.state === "failed" || failed.length > 0;
  return (
    <li>
      <div className="upload-head">
        <span className="upload-name">{upload.name}</span>
        <output>{stateText(upload, texts)}</output>
        {!over && (
          <Button
            type="text"
            size="small"
            icon={<CloseOutlined />}
            aria-label={`${texts.cancel} ${upload.name}`}
            onClick={() => uploads.cancel(upload.id)}
          />
        )}
      </div>
      <Progress
        percent={Math.round(share(upload) * 100)}
        showInfo={false}
        size={{ height: 4 }}
        status={wrong ? "exception" : over ? "success" : "active"}
        aria-label={t.progressOf(upload.name)}
      />
      {(failed.length > 0 || partly.length > 0) && (
        <ul className="report">
          {failed.map(({ name, reason }, index) => (
            <li key={index}>
              {name}: {reason}
            </li>
          ))}
          {partly.map(({ name, warnings }, index) => (
            <li key={index} className="partly">
              {name}: {warnings.join(" ")}
            </li>
          ))}
        </ul>
      )}
      {upload.error !== undefined && (
        <Alert type="error" showIcon title={failureText(upload.error, texts)} />
      )}
    </li>
  );
}

function share(upload: Upload): number {
  if (isOver(upload)) return 1;
  if (upload.job === null) return upload.sent * SENT_SHARE;
  return SENT_SHARE + ((1 - SENT_SHARE) * upload.job.done) / upload.job.total;
}

function stateText(upload: Upload, texts: ReturnType<typeof useTexts>): string {
  const t = texts.knowledge;
  const { job } = upload;
  if (upload.error !== undefined) return t.jobFailed;
  if (upload.stopped) return t.jobCancelled;
  switch (job?.state) {
    case undefined:
      return t.sending;
    case "queued":
      return t.waiting;
    case "running":
      return t.reading(job.done, job.total);
    case "cancelled":
      return t.jobCancelled;
    case "failed":
      return t.jobDone(0, job.report.length);
    case "done": {
      const failed = job.report.filter(({ outcome }) => outcome === "failed").length;
      return t.jobDone(job.report.length - failed, failed);
    }
  }
}
