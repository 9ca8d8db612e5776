import * as THREE from 'three';
import { GLTFLoader } from 'GLTFLoader';
import { OrbitControls } from 'OrbitControls';

const FIELD_OF_VIEW = 30; // degrees, vertical; as in the turntable
const element = (id) => document.getElementById(id);

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

function fail(error) {
  element('message').hidden = false;
  element('message').textContent = `The avatar cannot be shown: ${error.message}. The page needs a browser with WebGL 2.`;
  throw error;
}

class Viewer {
  constructor(canvas, gltf) {
    // The drawing is kept, so that it can be saved between two pictures.
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.05, 100);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.avatar = gltf.scene;
    this.scene.add(this.avatar);
    this.avatar.traverse((node) => {
      node.frustumCulled = false; // the box of a skinned mesh is that of its rest pose
      if (node.isSkinnedMesh) this.mesh = node;
    });
    this.bones = new THREE.SkeletonHelper(this.avatar);
    this.bones.visible = false;
    this.bones.material.depthTest = false;
    this.ground = new THREE.GridHelper(6, 24, 0x8a8f98, 0xb9bec7);
    this.scene.add(this.bones, this.ground);
    this.mixer = new THREE.AnimationMixer(this.avatar);
    this.clip = gltf.animations[0] ?? null;
    if (this.clip) this.mixer.clipAction(this.clip).play();
    this.playing = Boolean(this.clip) && this.clip.duration > 0;
    this.speed = 1;
    this.time = 0;
    this.setTime(0);
    this.front();
  }

  get duration() {
    return this.clip ? this.clip.duration : 0;
  }

  setTime(seconds) {
    this.time = seconds;
    // At its very end a clip that repeats shows its beginning.
    if (this.clip) this.mixer.setTime(Math.min(seconds, this.duration * (1 - 1e-6)));
    this.avatar.updateMatrixWorld(true);
  }

  advance(seconds) {
    if (this.playing) this.setTime((this.time + seconds * this.speed) % this.duration);
  }

  // Places the camera so that the avatar is seen from the front, whole in all of its motion.
  front() {
    const box = new THREE.Box3();
    const moment = this.time;
    for (let i = 0; i <= 8; i++) {
      this.setTime((i / 8) * this.duration);
      this.mesh.computeBoundingBox();
      box.union(this.mesh.boundingBox);
    }
    this.setTime(moment);
    const center = box.getCenter(new THREE.Vector3());
    const size = box.getSize(new THREE.Vector3());
    const half = Math.tan(THREE.MathUtils.degToRad(FIELD_OF_VIEW / 2));
    const distance = (1.12 * Math.max(size.y, size.x / Math.min(this.camera.aspect, 1), 0.1)) / (2 * half) + size.z / 2;
    this.controls.target.copy(center);
    this.camera.position.set(center.x, center.y, center.z + distance);
    this.controls.update();
  }

  resize(width, height) {
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
  }

  draw() {
    this.renderer.render(this.scene, this.camera);
  }

  // Positions of the joints (m) at a time (s): name -> [x, y, z].
  joints(seconds) {
    this.setTime(seconds);
    const place = new THREE.Vector3();
    return Object.fromEntries(this.mesh.skeleton.bones.map((bone) => [bone.name, bone.getWorldPosition(place).toArray()]));
  }

  // Lowest and highest corner of the skinned mesh (m) at a time (s).
  bounds(seconds) {
    this.setTime(seconds);
    this.mesh.computeBoundingBox();
    return [this.mesh.boundingBox.min.toArray(), this.mesh.boundingBox.max.toArray()];
  }
}

function connect(viewer) {
  const play = element('play'), time = element('time'), clock = element('clock');
  time.max = viewer.duration;
  play.disabled = time.disabled = !(viewer.duration > 0);
  const show = () => {
    play.textContent = viewer.playing ? 'Pause' : 'Play';
    clock.textContent = `${viewer.time.toFixed(2)} of ${viewer.duration.toFixed(2)} s`;
    time.value = viewer.time;
  };
  const toggle = () => { if (viewer.duration > 0) viewer.playing = !viewer.playing; };
  play.onclick = toggle;
  time.oninput = () => { viewer.playing = false; viewer.setTime(Number(time.value)); };
  element('speed').onchange = (event) => { viewer.speed = Number(event.target.value); };
  element('wireframe').onchange = (event) => { viewer.mesh.material.wireframe = event.target.checked; };
  element('skeleton').onchange = (event) => { viewer.bones.visible = event.target.checked; };
  element('ground').onchange = (event) => { viewer.ground.visible = event.target.checked; };
  element('background').oninput = (event) => { viewer.scene.background = new THREE.Color(event.target.value); };
  element('front').onclick = () => viewer.front();
  element('save').onclick = () => {
    viewer.draw();
    const link = document.createElement('a');
    link.download = `avatar_${viewer.time.toFixed(2)}s.png`;
    link.href = viewer.renderer.domElement.toDataURL('image/png');
    link.click();
  };
  document.addEventListener('keydown', (event) => {
    if (event.code === 'Space' && !['BUTTON', 'SELECT', 'INPUT'].includes(event.target.tagName)) {
      event.preventDefault();
      toggle();
    }
  });
  const canvas = viewer.renderer.domElement;
  const resize = () => viewer.resize(Math.max(canvas.clientWidth, 1), Math.max(canvas.clientHeight, 1));
  new ResizeObserver(resize).observe(canvas);
  resize();
  viewer.front();
  viewer.scene.background = new THREE.Color(element('background').value);
  let last = performance.now();
  viewer.renderer.setAnimationLoop((now) => {
    // A tab that slept goes on where it was. The time of the first picture may lie before `last`.
    viewer.advance(Math.min(Math.max(now - last, 0) / 1000, 0.25));
    last = now;
    viewer.controls.update();
    viewer.draw();
    show();
  });
}

try {
  const gltf = await new GLTFLoader().parseAsync(bytes(element('avatar').textContent.trim()), '');
  window.viewer = new Viewer(element('picture'), gltf);
  element('message').hidden = true;
  element('tools').hidden = false; // before the camera is placed, since it takes room from the picture
  connect(window.viewer);
} catch (error) {
  fail(error);
}
