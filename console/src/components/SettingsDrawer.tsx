import { Button, Drawer, Form, Input, InputNumber, Slider } from "antd";

import { useTexts } from "../i18n";
import { DEFAULTS, type Settings } from "../settings";

interface Props {
  open: boolean;
  settings: Settings;
  onChange: (settings: Settings) => void;
  onClose: () => void;
}

/** Every change counts at once, from the next question on. */
export function SettingsDrawer({ open, settings, onChange, onClose }: Props) {
  const t = useTexts();
  const set = (change: Partial<Settings>) => onChange({ ...settings, ...change });

  return (
    <Drawer
      open={open}
      title={t.settings}
      size={360}
      onClose={onClose}
      closable={{ "aria-label": t.close }}
      footer={
        <div className="settings-footer">
          <span>
            {t.kept}{" "}
            <a href="third-party-licenses.txt" target="_blank">
              {t.licenses}
            </a>
          </span>
          <Button onClick={() => onChange({ ...DEFAULTS, model: settings.model })}>
            {t.reset}
          </Button>
        </div>
      }
    >
      <Form layout="vertical" className="settings">
        <Form.Item label={t.systemPrompt} htmlFor="system-prompt" extra={t.systemPromptHint}>
          <Input.TextArea
            id="system-prompt"
            value={settings.systemPrompt}
            placeholder={t.systemPromptExample}
            autoSize={{ minRows: 3, maxRows: 10 }}
            onChange={(event) => set({ systemPrompt: event.target.value })}
          />
        </Form.Item>
        <Amount
          label={t.temperature}
          hint={t.temperatureHint}
          min={0}
          max={2}
          step={0.1}
          value={settings.temperature}
          onChange={(temperature) => set({ temperature })}
        />
        <Amount
          label={t.topP}
          hint={t.topPHint}
          min={0.05}
          max={1}
          step={0.05}
          value={settings.topP}
          onChange={(topP) => set({ topP })}
        />
        <Form.Item label={t.maxTokens} htmlFor="max-tokens" extra={t.maxTokensHint}>
          <InputNumber
            id="max-tokens"
            className="wide"
            min={1}
            precision={0}
            value={settings.maxTokens}
            placeholder={t.serverDefault}
            onChange={(maxTokens) => set({ maxTokens })}
          />
        </Form.Item>
      </Form>
    </Drawer>
  );
}

interface AmountProps {
  label: string;
  hint: string;
  min: number;
  max: number;
  step: number;
  /** Null while the model's own default counts. */
  value: number | null;
  onChange: (value: number) => void;
}

/** Where the handle stands before it is moved: what most models are published with. */
const USUAL = 0.8;

function Amount({ label, hint, value, ...slider }: AmountProps) {
  const t = useTexts();
  return (
    <Form.Item
      label={
        <span>
          {label}
          <strong className="amount">{value ?? t.serverDefault}</strong>
        </span>
      }
      extra={hint}
    >
      <Slider
        {...slider}
        value={value ?? USUAL}
        ariaLabelForHandle={label}
        tooltip={{ open: false }}
      />
    </Form.Item>
  );
}
