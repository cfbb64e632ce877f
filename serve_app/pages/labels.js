// Every word the page says, in the languages it speaks. `errors` is keyed by the stable codes of the interface.

const en = {
  call: "Call",
  hangUp: "Hang up",
  send: "Send",
  type: "Type instead of speaking",
  conversation: "Conversation",
  invitation: "Press Call and speak.",
  privacy: "Your microphone is used only during the call.",
  you: "You",
  agent: "Agent",
  source: "Source",
  notUnderstood: "(not understood)",
  interrupted: "interrupted",
  answeredAfter: "Answered after",
  platform: "platform",
  pause: "pause",
  ms: "ms",
  profile: "Profile",
  natures: { embedded: "embedded engines", emulated: "emulated engines", model: "models" },
  stages: { asr: "hearing", retrieval: "search", llm: "answer", tts: "voice" },
  states: {
    idle: "Ready",
    microphone: "Allow the microphone…",
    connecting: "Calling…",
    greeting: "Speaking",
    listening: "Listening",
    thinking: "Thinking",
    speaking: "Speaking",
    ended: "Call ended",
  },
  connections: { connecting: "connecting", connected: "connected", unstable: "connection unstable, reconnecting…" },
  reasons: {
    longest_call: "The call reached its longest duration.",
    internal_error: "The call ended because of an error on our side.",
  },
  errors: {
    mic_refused: "The microphone was refused. Allow it for this page in the browser and call again.",
    mic_missing: "No microphone was found. Connect one and call again.",
    mic_busy: "The microphone cannot be opened; another program may be using it.",
    mic_insecure: "The browser gives the microphone only to https pages and to this computer itself.",
    webrtc_missing: "This browser cannot make calls. Use a current Chrome, Edge, Firefox or Safari.",
    server_unreachable: "The server does not answer. Check your connection and call again.",
    media_unreachable: "The call was taken, but no sound gets through. A firewall may be in the way.",
    connection_lost: "The connection was lost. Call again.",
    tenant_unknown: "There is no call centre of this name.",
    tenant_inactive: "This call centre takes no calls at the moment.",
    not_allowed: "You are not allowed to call here.",
    busy: "All lines are busy. Please try again in a moment.",
    sound_blocked: "The browser blocks the sound. Click anywhere on the page.",
    in_call: "Something did not work just now; the call goes on.",
    unknown: "The call did not work.",
  },
};

const ar = {
  call: "اتصال",
  hangUp: "إنهاء المكالمة",
  send: "إرسال",
  type: "اكتب بدلاً من التحدث",
  conversation: "المحادثة",
  invitation: "اضغط «اتصال» وتحدث.",
  privacy: "يُستخدم الميكروفون أثناء المكالمة فقط.",
  you: "أنت",
  agent: "المساعد",
  source: "المصدر",
  notUnderstood: "(لم يُفهم)",
  interrupted: "قوطع",
  answeredAfter: "الرد بعد",
  platform: "المنصة",
  pause: "صمت",
  ms: "م.ث",
  profile: "الإعداد",
  natures: { embedded: "محركات مضمّنة", emulated: "محركات محاكاة", model: "نماذج" },
  stages: { asr: "السمع", retrieval: "البحث", llm: "الجواب", tts: "الصوت" },
  states: {
    idle: "جاهز",
    microphone: "اسمح باستخدام الميكروفون…",
    connecting: "جارٍ الاتصال…",
    greeting: "يتحدث",
    listening: "يستمع",
    thinking: "يفكر",
    speaking: "يتحدث",
    ended: "انتهت المكالمة",
  },
  connections: { connecting: "جارٍ الاتصال", connected: "متصل", unstable: "الاتصال غير مستقر، تجري إعادة الاتصال…" },
  reasons: {
    longest_call: "بلغت المكالمة أقصى مدة لها.",
    internal_error: "انتهت المكالمة بسبب خطأ لدينا.",
  },
  errors: {
    mic_refused: "رُفض استخدام الميكروفون. اسمح به لهذه الصفحة في المتصفح ثم اتصل من جديد.",
    mic_missing: "لم يُعثر على ميكروفون. صِل واحداً ثم اتصل من جديد.",
    mic_busy: "تعذّر فتح الميكروفون؛ ربما يستخدمه برنامج آخر.",
    mic_insecure: "لا يتيح المتصفح الميكروفون إلا لصفحات https أو لهذا الجهاز نفسه.",
    webrtc_missing: "لا يستطيع هذا المتصفح إجراء المكالمات. استخدم إصداراً حديثاً من Chrome أو Edge أو Firefox أو Safari.",
    server_unreachable: "الخادم لا يجيب. تحقق من اتصالك ثم اتصل من جديد.",
    media_unreachable: "قُبلت المكالمة لكن الصوت لا يصل. ربما يمنعه جدار حماية.",
    connection_lost: "انقطع الاتصال. اتصل من جديد.",
    tenant_unknown: "لا يوجد مركز اتصال بهذا الاسم.",
    tenant_inactive: "مركز الاتصال هذا لا يستقبل المكالمات حالياً.",
    not_allowed: "غير مسموح لك بالاتصال هنا.",
    busy: "جميع الخطوط مشغولة. حاول مرة أخرى بعد قليل.",
    sound_blocked: "يمنع المتصفح الصوت. انقر في أي مكان على الصفحة.",
    in_call: "تعذّر أمر ما الآن؛ المكالمة مستمرة.",
    unknown: "لم تنجح المكالمة.",
  },
};

export const labels = document.documentElement.lang === "ar" ? ar : en;

// The sentence for an error; the server's own detail is added where we have no words for its code.
export function inWords(code, detail = "", status = 0) {
  const known = labels.errors[code];
  if (known) return known;
  if (status === 401 || status === 403) return labels.errors.not_allowed;
  if (status === 429 || status === 503) return labels.errors.busy;
  return detail ? `${labels.errors.unknown} (${detail})` : labels.errors.unknown;
}
