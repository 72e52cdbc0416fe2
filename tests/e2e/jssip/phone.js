// A phone as web pages have it: JsSIP, with Node in place of the browser and libwebrtc for its audio.
//
//   node phone.js ws://HOST:PORT USER PASSWORD
//
// Orders come as lines of JSON on standard input, what happens goes to standard output likewise.
'use strict';

const wrtc = require('@roamhq/wrtc');
const WebSocket = require('ws');

Object.assign(globalThis, wrtc, { WebSocket, window: globalThis });

const JsSIP = require('jssip');

const RATE = 48000;
const FRAME = RATE / 100;
const LOUD = 1000;

const [url, user, password] = process.argv.slice(2);
const host = new URL(url).hostname;
const say = (event, facts = {}) => console.log(JSON.stringify({ event, ...facts }));

// -- audio

const microphone = new wrtc.nonstandard.RTCAudioSource();
const track = microphone.createTrack();
let hertz = 0;
let sampled = 0;

setInterval(() => {
  const samples = new Int16Array(FRAME);
  for (let index = 0; hertz && index < FRAME; index += 1, sampled += 1) {
    samples[index] = 8000 * Math.sin((2 * Math.PI * hertz * sampled) / RATE);
  }
  microphone.onData({ samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1, numberOfFrames: FRAME });
}, 10);

// Tells the pitch of what is heard each time it has changed, by its zero crossings in a fifth of a second.
function listen(remote) {
  let [signs, count, loudest, last, told] = [0, 0, 0, 0, 0];
  new wrtc.nonstandard.RTCAudioSink(remote).ondata = ({ samples, sampleRate, channelCount }) => {
    for (let index = 0; index < samples.length; index += channelCount) {
      const sample = samples[index];
      if (sample > 0 !== last > 0) signs += 1;
      loudest = Math.max(loudest, Math.abs(sample));
      last = sample;
      count += 1;
    }
    if (count < sampleRate / 5) return;
    const pitch = loudest < LOUD ? 0 : Math.round((signs * sampleRate) / count / 2);
    if (Math.abs(pitch - told) > 20) say('hears', { hertz: (told = pitch) });
    [signs, count, loudest] = [0, 0, 0];
  };
}

// -- SIP

const phone = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(url)],
  uri: `sip:${user}@${host}`,
  password,
  register_expires: 120,
  connection_recovery_min_interval: 1,
  connection_recovery_max_interval: 2,
});
let session;

for (const name of ['connected', 'disconnected', 'registered', 'unregistered']) {
  phone.on(name, () => say(name));
}
phone.on('registrationFailed', ({ cause, response }) => {
  say('registrationFailed', { cause, status: response && response.status_code });
});
phone.on('newRTCSession', ({ session: born, originator }) => {
  session = born;
  if (originator === 'remote') say('rings', { from: born.remote_identity.uri.toString() });
  for (const name of ['progress', 'confirmed']) {
    born.on(name, (facts) => say(name, { by: facts.originator }));
  }
  for (const name of ['ended', 'failed']) {
    born.on(name, ({ originator, cause }) => say(name, { by: originator, cause }));
  }
  const follow = ({ peerconnection }) => {
    peerconnection.addEventListener('track', ({ track: remote }) => listen(remote));
  };
  if (born.connection) follow({ peerconnection: born.connection });
  else born.on('peerconnection', follow);
});

const media = () => ({ mediaStream: new wrtc.MediaStream([track]), pcConfig: { iceServers: [] } });
const orders = {
  register: () => phone.register(),
  unregister: () => phone.unregister(),
  call: ({ target }) => phone.call(`sip:${target}@${host}`, media()),
  answer: () => session.answer(media()),
  refuse: ({ status }) => session.terminate({ status_code: status }),
  hangup: () => session.terminate(),
  hold: () => session.hold({}, () => say('held')),
  unhold: () => session.unhold({}, () => say('resumed')),
  press: ({ key }) => session.sendDTMF(key),
  sing: ({ hertz: wanted }) => (hertz = wanted),
  // What a browser's network does when it changes: no close, no word.
  cut: () => phone.transport.socket._ws._socket.destroy(),
};

phone.start();
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { order, ...facts } = JSON.parse(line);
  orders[order](facts);
}).on('close', () => process.exit());
